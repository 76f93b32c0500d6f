// Adapters of random weights on every linear layer of a decoder, in PEFT's own layout.
import { mkdir, stat, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { elementCount } from "../../extension/core/base/shape.ts";
import { type TensorData, writeSafetensors } from "../../extension/core/safetensors/write.ts";
import { type Config, tensorsOf } from "./makeRandomModel.ts";

export interface AdapterKind {
  readonly method: "lora" | "dora" | "ia3";
  /** 0 for IA3. */
  readonly rank: number;
  readonly seed: number;
  /** All linear layers when absent. */
  readonly targets?: readonly string[];
}

const targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
/** PEFT's own choice for Llama and Qwen 2; IA3 scales the input of feedforward modules. */
const scaled = ["k_proj", "v_proj", "down_proj"];

/** Writes an adapter unless it is there; resolves to its folder. */
export async function makeAdapter(
  folder: string,
  kind: AdapterKind,
  { config, base }: { config: Config; base: string },
): Promise<string> {
  const done = path.join(folder, "adapter_config.json");
  if (await stat(done).catch(() => null)) return folder;
  await mkdir(folder, { recursive: true });
  const random = uniform(kind.seed);
  const tensors = tensorsOf(config).flatMap(({ name, shape }): TensorData[] => {
    const [, module = ""] = /(\w+_proj)\.weight$/.exec(name) ?? [];
    if (!targetsOf(kind).includes(module)) return [];
    const [out = 0, inputs = 0] = shape;
    const of = (key: string, own: number[], values: (i: number) => number): TensorData => {
      const data = Float32Array.from({ length: elementCount(own) }, (_, i) => values(i));
      const bytes = new Uint8Array(data.buffer);
      const path = name.replace(/\.weight$/, "");
      return { name: `base_model.model.${path}.${key}`, dtype: "F32", shape: own, bytes };
    };
    if (kind.method === "ia3") {
      const own = module === "down_proj" ? [1, inputs] : [out, 1];
      return [of("ia3_l", own, () => 1 + random(0.1))];
    }
    const factors = [
      of("lora_A.weight", [kind.rank, inputs], () => random(0.05)),
      of("lora_B.weight", [out, kind.rank], () => random(0.05)),
    ];
    // Rows of makeRandomModel's matrices have about this length.
    const length = 0.04 * Math.sqrt(inputs);
    const magnitude = (): number => length * (1 + random(0.05));
    return kind.method === "dora"
      ? [...factors, of("lora_magnitude_vector", [out], magnitude)]
      : factors;
  });
  await writeSafetensors(path.join(folder, "adapter_model.safetensors"), tensors);
  await writeFile(done, `${JSON.stringify(configOf(kind, base), null, 2)}\n`);
  return folder;
}

function targetsOf({ method, targets: own = targets }: AdapterKind): readonly string[] {
  return method === "ia3" ? scaled : own;
}

function configOf(kind: AdapterKind, base: string): Record<string, unknown> {
  const { method, rank } = kind;
  const common = { task_type: "CAUSAL_LM", base_model_name_or_path: base, inference_mode: true };
  if (method === "ia3") {
    const feedforward = ["down_proj"];
    return {
      peft_type: "IA3",
      target_modules: scaled,
      feedforward_modules: feedforward,
      ...common,
    };
  }
  const own = {
    r: rank,
    lora_alpha: rank,
    target_modules: targetsOf(kind),
    use_dora: method === "dora",
  };
  return { peft_type: "LORA", ...own, ...common };
}

/** A xorshift generator of numbers from -limit to limit. */
function uniform(seed: number): (limit: number) => number {
  let state = (0x9e3779b9 ^ Math.imul(seed, 2654435761)) >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) / 2 ** 31 - 1) * limit;
  };
}
