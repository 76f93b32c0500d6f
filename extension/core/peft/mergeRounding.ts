/** What the base's type does to merged values. */
import { t } from "@vscode/l10n";
import { type FloatDtype, toFloat32 } from "../base/dtype.ts";
import { GraftError } from "../base/errors.ts";
import { fromFloat32 } from "../base/halfFloat.ts";
import type { WeightRef } from "../checkpoint/baseCheckpoint.ts";
import { readTensors } from "../safetensors/read.ts";
import type { MergedTensor } from "./merge.ts";

/** What rounding to the base's type did to one merged tensor. */
export interface MergeDrift {
  readonly name: string;
  /** Largest absolute difference between the merged values and what the type can hold. */
  readonly largest: number;
  /** Share of the change that rounding swallowed: ‖rounded − exact‖ / ‖exact − base‖. */
  readonly swallowed: number;
}

/**
 * Rounds merged values to the base's type and measures what that did.
 * @throws bad-file when a value is or becomes NaN or infinite, naming the module, unless `safe` is false
 */
export async function roundMerged(
  tensor: MergedTensor,
  before: WeightRef | undefined,
  { safe = true }: { safe?: boolean } = {},
): Promise<{ bytes: Uint8Array; drift: MergeDrift }> {
  const exact = await tensor.values();
  const bytes = fromFloat32(exact, tensor.dtype);
  const rounded = toFloat32(bytes, tensor.dtype);
  if (safe && !rounded.every(Number.isFinite)) throw notFinite(tensor, exact);
  const base = before ? await readOne(before) : null;
  let [error, change, largest] = [0, 0, 0];
  exact.forEach((value, i) => {
    const lost = Math.abs((rounded[i] as number) - value);
    largest = Math.max(largest, lost);
    error += lost ** 2;
    change += (value - (base?.[i] ?? 0)) ** 2;
  });
  const swallowed = change === 0 ? 0 : Math.sqrt(error / change);
  return { bytes, drift: { name: tensor.name, largest, swallowed } };
}

/** PEFT's safe_merge says so too, but is off by default and does not see what rounding makes infinite. */
function notFinite({ name, dtype }: MergedTensor, exact: Float32Array): GraftError {
  const module = name.replace(/\.(?:weight|bias)$/, "");
  const reason = exact.every(Number.isFinite)
    ? t("Its values are too large for the base's type {0}.", dtype)
    : t("An adapter is broken or was trained on another base.");
  return new GraftError(
    "bad-file",
    t('Merging makes "{0}" hold NaN or infinite values. {1}', name, reason),
    { module, tensor: name },
  );
}

/** What rounding did to several tensors: root mean square of the shares, largest difference. */
export function summarizeDrift(drift: readonly MergeDrift[]): {
  swallowed: number;
  largest: number;
} {
  const squares = drift.reduce((sum, { swallowed }) => sum + swallowed ** 2, 0);
  return {
    swallowed: Math.sqrt(squares / Math.max(1, drift.length)),
    largest: drift.reduce((most, { largest }) => Math.max(most, largest), 0),
  };
}

async function readOne(ref: WeightRef): Promise<Float32Array> {
  const [bytes] = await readTensors(ref.file, [ref]);
  return toFloat32(bytes as Uint8Array, ref.dtype as FloatDtype);
}
