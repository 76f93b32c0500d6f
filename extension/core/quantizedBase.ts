import { isFloatDtype } from "./base/dtype.ts";
import { unsupported } from "./base/errors.ts";
import { fromFloat32 } from "./base/halfFloat.ts";
import type { OnProgress } from "./baseModel.ts";
import type { BaseCheckpoint, WeightRef } from "./checkpoint/baseCheckpoint.ts";
import { type ModuleTree, weightName } from "./checkpoint/modules.ts";
import { dequantizeFourBit, type FourBitType, quantizeFourBit } from "./quant/fourBit.ts";
import { dequantizeInt8, quantizeInt8 } from "./quant/int8.ts";
import { readFloat32 } from "./safetensors/read.ts";
import { temporaryWeights } from "./temporaryWeights.ts";

/** How a base's linear layers are rounded, as bitsandbytes does it. */
export interface Quantization {
  readonly type: FourBitType | "int8";
  /** Keep the scales of 4-bit blocks in 8 bits. */
  readonly doubleQuant: boolean;
}

export interface QuantizedBase {
  readonly checkpoint: BaseCheckpoint;
  /** Removes what stands on disk; sessions that map it are closed before. */
  dispose(): Promise<void>;
}

/**
 * A base whose linear layers, the head aside, have the values that bitsandbytes quantizes them to: what
 * QLoRA trains on. The values are exact and the memory is that of the base's own type: they stand
 * dequantized in a temporary file that ONNX Runtime maps, since its NF4 kernel is many times slower
 * than fp32. For int8 the weights alone are rounded; LLM.int8 rounds activations too.
 */
export async function quantizedBase(
  checkpoint: BaseCheckpoint,
  tree: ModuleTree,
  at: {
    quantization: Quantization;
    /** Paths of the modules to round; all linear layers when absent. */
    only?: ReadonlySet<string>;
    onProgress?: OnProgress;
    signal?: AbortSignal;
  },
): Promise<QuantizedBase> {
  const { quantization, onProgress, signal } = at;
  const refs = linearWeights(checkpoint, tree, at.only);
  const tensors = refs.map((ref, done) => ({
    name: ref.name,
    dtype: ref.dtype,
    shape: ref.shape,
    bytes: (): Promise<Uint8Array> => {
      onProgress?.({ step: "Quantizing", done, total: refs.length, unit: "items" });
      return roundedBytes(ref, quantization, signal);
    },
  }));
  const written = await temporaryWeights(checkpoint, tensors, { kind: "quantized", signal });
  return { checkpoint: { ...checkpoint, weights: written.weights }, dispose: written.dispose };
}

/** Weights of all linear layers but the head, each once. */
function linearWeights(
  { weights }: BaseCheckpoint,
  { modules, outputEmbedding }: ModuleTree,
  only: ReadonlySet<string> | undefined,
): WeightRef[] {
  const names = modules
    .filter(
      (module) =>
        module.kind === "linear" &&
        !module.isParameter &&
        module.path !== outputEmbedding &&
        (only?.has(module.path) ?? true),
    )
    .map(weightName);
  return [...new Set(names)].flatMap((name) => weights.get(name) ?? []);
}

/** The weight as it is after quantizing, in its own type. */
async function roundedBytes(
  ref: WeightRef,
  { type, doubleQuant }: Quantization,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { dtype, shape, name, file } = ref;
  if (!isFloatDtype(dtype)) throw unsupported(`${file}: tensor "${name}" is ${dtype} already`);
  const values = (await readFloat32(file, [ref], signal)).get(name) as Float32Array;
  const rounded =
    type === "int8"
      ? dequantizeInt8(quantizeInt8(values, shape[1] ?? 0))
      : dequantizeFourBit(quantizeFourBit(values, shape, { type, doubleQuant }));
  return fromFloat32(rounded, dtype);
}
