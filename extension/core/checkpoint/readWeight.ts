import { t } from "@vscode/l10n";
import { isReadableDtype, toFloat32 } from "../base/dtype.ts";
import { unsupported } from "../base/errors.ts";
import { readTensors } from "../safetensors/read.ts";
import type { WeightRef } from "./baseCheckpoint.ts";
import { applyScale } from "./weightScale.ts";

/**
 * A base's weight as fp32, row by row, the scales of 8-bit floating point applied.
 * @throws unsupported for integers, by name
 */
export async function readWeight(ref: WeightRef, signal?: AbortSignal): Promise<Float32Array> {
  const values = await readValues(ref, signal);
  const { scale, shape } = ref;
  if (!scale) return values;
  const scales = await readValues(scale.values, signal);
  const { count, block } = scale;
  applyScale(values, scales, { columns: values.length / (shape[0] ?? 1), count, block });
  return values;
}

async function readValues(ref: WeightRef, signal?: AbortSignal): Promise<Float32Array> {
  const { file, name, dtype } = ref;
  if (!isReadableDtype(dtype)) {
    throw unsupported(
      t('{0}: tensor "{1}" is {2}, a floating-point type is needed', file, name, dtype),
    );
  }
  const [bytes] = await readTensors(file, [ref], signal);
  return toFloat32(bytes as Uint8Array, dtype);
}
