import { isReadableDtype, toFloat32 } from "./base/dtype.ts";
import type { Shape } from "./base/shape.ts";
import type { AdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { readTensors } from "./safetensors/read.ts";

/** A tensor to train on; the file keeps its own. */
export interface WorkingWeight {
  readonly shape: Shape;
  /** Row-major, a copy of its own. */
  readonly data: Float32Array;
}

/** An adapter's floating-point tensors in fp32, which PEFT's autocast_adapter_dtype trains in. */
export async function workingWeights(
  { weights }: AdapterCheckpoint,
  signal?: AbortSignal,
): Promise<Map<string, WorkingWeight>> {
  const working = new Map<string, WorkingWeight>();
  const bytes = await readTensors(weights.file, weights.tensors, signal);
  weights.tensors.forEach(({ name, dtype, shape }, i) => {
    if (!isReadableDtype(dtype)) return;
    working.set(name, { shape, data: toFloat32(bytes[i] as Uint8Array, dtype) });
  });
  return working;
}
