import { copyFile, mkdir, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { openBaseCheckpoint } from "../../../../extension/core/checkpoint/baseCheckpoint.ts";
import type { PeftModel } from "../../../../extension/core/peftModel.ts";
import type { ActiveAdapter } from "../../../../extension/core/loadedAdapters.ts";
import { readFloat32 } from "../../../../extension/core/safetensors/read.ts";
import { type TensorData, writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { fixtures } from "../support.ts";

/** A Llama of two layers with random weights; adapters for it are made here, and merged in fp64. */
export const tinyLlama = path.join(fixtures, "models/llama");
const { weights } = await openBaseCheckpoint(tinyLlama);

export interface Factors {
  readonly rank: number;
  /** [rank, in] */
  readonly a: Float32Array;
  /** [out, rank] */
  readonly b: Float32Array;
}

/** Factors of these ranks by module path, random but always the same. */
export function makeFactors(
  ranks: Readonly<Record<string, number>>,
  seed = 1,
): Map<string, Factors> {
  const random = seededRandom(seed);
  const values = (count: number): Float32Array =>
    Float32Array.from({ length: count }, () => (random() - 0.5) / 2);
  return new Map(
    Object.entries(ranks).map(([module, rank]) => {
      const [out = 0, inputs = 0] = weights.get(`${module}.weight`)?.shape ?? [];
      return [module, { rank, a: values(rank * inputs), b: values(out * rank) }];
    }),
  );
}

/** Writes an adapter folder as PEFT does. */
export async function writeLora(
  folder: string,
  factors: ReadonlyMap<string, Factors>,
  config: object = {},
): Promise<string> {
  const tensor = (name: string, data: Float32Array, shape: number[]): TensorData => ({
    name: `base_model.model.${name}.weight`,
    dtype: "F32",
    shape,
    bytes: new Uint8Array(data.buffer),
  });
  const tensors = [...factors].flatMap(([module, { a, b, rank }]) => [
    tensor(`${module}.lora_A`, a, [rank, a.length / rank]),
    tensor(`${module}.lora_B`, b, [b.length / rank, rank]),
  ]);
  const first = factors.values().next().value;
  const text = JSON.stringify({
    peft_type: "LORA",
    r: first?.rank,
    lora_alpha: 8,
    target_modules: [...factors.keys()],
    ...config,
  });
  await mkdir(folder, { recursive: true });
  await writeSafetensors(path.join(folder, "adapter_model.safetensors"), tensors);
  await writeFile(path.join(folder, "adapter_config.json"), text);
  return folder;
}

/** Writes the base with W + Σ scale · B A in the place of W. */
export async function writeMerged(
  folder: string,
  parts: readonly { factors: ReadonlyMap<string, Factors>; scale: number }[],
): Promise<string> {
  const tensors: TensorData[] = [];
  for (const ref of weights.values()) {
    const { name, shape, file } = ref;
    const values = Float64Array.from((await readFloat32(file, [ref])).get(name) ?? []);
    const module = name.replace(/\.weight$/, "");
    for (const { factors, scale } of parts) {
      const own = factors.get(module);
      if (own) addProduct(values, own, scale);
    }
    const bytes = new Uint8Array(Float32Array.from(values).buffer);
    tensors.push({ name, shape, dtype: "F32", bytes });
  }
  await mkdir(folder, { recursive: true });
  await writeSafetensors(path.join(folder, "model.safetensors"), tensors);
  await copyFile(path.join(tinyLlama, "config.json"), path.join(folder, "config.json"));
  return folder;
}

function addProduct(target: Float64Array, { a, b, rank }: Factors, scale: number): void {
  const inputs = a.length / rank;
  target.forEach((value, i) => {
    const [row, column] = [Math.floor(i / inputs), i % inputs];
    let sum = 0;
    for (let r = 0; r < rank; r++) {
      sum += (b[row * rank + r] as number) * (a[r * inputs + column] as number);
    }
    target[i] = value + scale * sum;
  });
}

/** Logits of every token of one prompt. */
export function logitsOf(
  model: PeftModel,
  active: readonly ActiveAdapter[] = [],
): Promise<Float32Array> {
  const ids = Array.from({ length: 10 }, (_, i) => (11 + i * 37) % 128);
  const inputs = model.inputsOf(active);
  return model.base.session.with(inputs, async (session) => {
    const state = session.start(inputs);
    return (await session.forward(state, [ids], { logitsRows: ids.map((_, i) => i) })).data;
  });
}
