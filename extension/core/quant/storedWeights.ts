/**
 * Checkpoints whose linear layers are stored quantized. Each such weight appears among the
 * checkpoint's as one tensor [out, in] of the type that its values have, and a source gives them.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile, unsupported } from "../base/errors.ts";
import { isObject, type JsonObject, parseFields } from "../base/json.ts";
import { totalElements } from "../base/shape.ts";
import type { BaseCheckpoint, WeightRef } from "../checkpoint/baseCheckpoint.ts";
import type { PackedWeight } from "../checkpoint/packedWeight.ts";
import { awqOptions, awqSource } from "./awq.ts";
import { bitsandbytesInt8, fourBitSource, fourBitStates } from "./bitsandbytesSource.ts";
import { gptqOptions, gptqSource } from "./gptq.ts";
import type { WeightSource } from "./weightSource.ts";

/** What made a checkpoint's quantized weights, in PEFT's words where it has some. */
export type StoredKind = "bnb 4bit" | "bnb 8bit" | "gptq" | "awq";

export interface StoredWeights {
  /**
   * Quantized weights as tensors [out, in] of their values' type and as packed ones of these sizes: a
   * graph can be built to describe the model, but not run.
   */
  readonly checkpoint: BaseCheckpoint;
  readonly kind: StoredKind;
  /** By the name of the weight. */
  readonly sources: ReadonlyMap<string, WeightSource>;
}

/** Parts that stand beside a quantized weight, by the end of their names. */
const parts =
  /\.(qweight|qzeros|scales|g_idx|SCB|weight_format|weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+))$/;

/**
 * Finds quantized weights by config.json and by their tensors.
 * @returns null when all weights are plain
 * @throws unsupported naming a method that is not read, bad-file where tensors disagree
 */
export async function storedWeights(
  checkpoint: BaseCheckpoint,
  signal?: AbortSignal,
): Promise<StoredWeights | null> {
  const { weights } = checkpoint;
  const method = methodOf(checkpoint);
  const found = method && (await method.find(checkpoint, signal));
  if (!found || found.sources.size === 0) return null;
  const logical = new Map<string, WeightRef>();
  const shapes = new Map<string, PackedWeight>();
  for (const [name, ref] of weights) if (!parts.test(name)) logical.set(name, ref);
  for (const [name, { out, in: columns, dtype }] of found.sources) {
    const like = weights.get(name) ?? weights.get(name.replace(/weight$/, "qweight"));
    if (!like) throw badFile(checkpoint.dir, t('tensor "{0}" is missing', name));
    const { file, offset, byteLength } = like;
    logical.set(name, { name, file, offset, byteLength, dtype, shape: [out, columns] });
    const range = { file, offset, byteLength };
    const packed = {
      codes: range,
      scales: range,
      bits: 8,
      blockSize: 32,
      accuracyLevel: 0,
    } as const;
    shapes.set(name, { ...packed, in: columns, out });
  }
  const parameters = totalElements([...logical.values()]);
  const unpacked = new Map(
    [...found.sources].map(([name, { out, rows }]) => [
      name,
      (own?: AbortSignal): Promise<Float32Array> => rows(0, out, own),
    ]),
  );
  const described = { ...checkpoint, weights: logical, packed: shapes, unpacked, parameters };
  return { ...found, checkpoint: described };
}

interface Found {
  readonly kind: StoredKind;
  readonly sources: Map<string, WeightSource>;
}

interface StoredMethod {
  find(checkpoint: BaseCheckpoint, signal?: AbortSignal): Promise<Found>;
}

const methodField = z.looseObject({
  quant_method: z.string().nullish(),
  load_in_4bit: z.boolean().nullish(),
  load_in_8bit: z.boolean().nullish(),
});

/** What config.json says, and bitsandbytes where only the tensors' names do. */
function methodOf({ config, weights }: BaseCheckpoint): StoredMethod | null {
  const quantization = quantizationConfig(config.raw);
  const names = [...weights.keys()];
  if (quantization === null) {
    const isFourBit = names.some((name) => name.includes(".quant_state.bitsandbytes__"));
    return isFourBit || names.some((name) => name.endsWith(".SCB")) ? bitsandbytes : null;
  }
  const c = parseFields(methodField, quantization, config.file);
  const isBitsandbytes = c.load_in_4bit === true || c.load_in_8bit === true;
  const name = c.quant_method ?? (isBitsandbytes ? "bitsandbytes" : "");
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (method) return method;
  // Floating-point types of 8 bits are plain weights, whatever wrote them.
  if (![...weights.values()].some(isPackedInteger)) return null;
  throw unsupported(
    t('{0}: the weights are quantized by "{1}", which Graft does not read', config.file, name),
    t(
      "It reads {0}, and plain weights, which it can quantize itself.",
      Object.keys(methods).join(", "),
    ),
  );
}

function isPackedInteger({ dtype, shape }: WeightRef): boolean {
  return ["I8", "U8", "I32", "U32"].includes(dtype) && shape.length > 1;
}

/** `quantization_config` of a config.json; null without. */
export function quantizationConfig(raw: JsonObject): JsonObject | null {
  const own = raw["quantization_config"];
  return isObject(own) ? own : null;
}

const bitsandbytes: StoredMethod = {
  find: async ({ weights }, signal) => {
    const states = await fourBitStates(weights, signal);
    const sources = new Map<string, WeightSource>();
    for (const [name, state] of states) sources.set(name, fourBitSource(weights, name, state));
    const isFourBit = sources.size > 0;
    for (const [name, source] of bitsandbytesInt8(weights)) sources.set(name, source);
    return { kind: isFourBit ? "bnb 4bit" : "bnb 8bit", sources };
  },
};

const gptq: StoredMethod = {
  find: async ({ weights, config }, signal) => {
    const options = gptqOptions(config, quantizationConfig(config.raw) ?? {});
    const sources = new Map<string, WeightSource>();
    for (const path of pathsOf(weights, ".qweight")) {
      sources.set(`${path}.weight`, await gptqSource(weights, path, { options, signal }));
    }
    return { kind: "gptq", sources };
  },
};

const awq: StoredMethod = {
  find: async ({ weights, config }, signal) => {
    const options = awqOptions(config, quantizationConfig(config.raw) ?? {});
    const [scaled] = pathsOf(weights, ".act.scales");
    if (scaled !== undefined) {
      throw unsupported(
        t(
          '{0}: AWQ scales the activation "{1}.act", which Graft does not run',
          config.file,
          scaled,
        ),
      );
    }
    const sources = new Map<string, WeightSource>();
    for (const path of pathsOf(weights, ".qweight")) {
      sources.set(`${path}.weight`, await awqSource(weights, path, { options, signal }));
    }
    return { kind: "awq", sources };
  },
};

/** Every method that is read, by `quant_method`; a new one is its file and its line here. */
const methods: Readonly<Record<string, StoredMethod>> = {
  bitsandbytes,
  gptq,
  awq,
};

function pathsOf(weights: BaseCheckpoint["weights"], end: string): string[] {
  return [...weights.keys()].flatMap((name) =>
    name.endsWith(end) ? [name.slice(0, -end.length)] : [],
  );
}
