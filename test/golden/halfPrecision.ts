import type { LoadBaseModelOptions } from "../../extension/core/baseModel.ts";
import { Skip } from "./outcome.ts";
import type { Truth } from "./truth.ts";

/** Cases whose base PEFT ran in a 16-bit type: Graft rounds as PyTorch does (onnx/lowPrecision.ts). */
export type HalfPrecision = Required<Pick<LoadBaseModelOptions, "dtype" | "autocastAdapterDtype">>;

/** What a case was computed in; null for fp32. */
export function halfPrecisionOf(expected: {
  base_dtype: string;
  saved_tensors: Record<string, { dtype?: string }>;
}): HalfPrecision | null {
  const dtype = expected.base_dtype.replace("torch.", "");
  if (dtype !== "bfloat16" && dtype !== "float16") return null;
  // An adapter that was saved in the base's type was not cast to fp32 either.
  const saved = Object.values(expected.saved_tensors).map((tensor) => tensor.dtype);
  return { dtype, autocastAdapterDtype: saved.some((each) => each !== dtype) };
}

const stepBits = { bfloat16: 7, float16: 10 };

/**
 * A difference of one step of the type at the largest logit: sums in another order round to the next
 * value, as PEFT's own do from one processor to another (measured: 0.0049 in fp16). Such a case is not
 * passed, and not failed.
 * @throws Skip for such a difference
 */
export function refuseOneStep(
  what: string,
  difference: number,
  at: { truth: Truth; half: HalfPrecision; tolerance: number },
): void {
  const largest = Math.max(...[...at.truth.data].map((value) => Math.abs(Number(value))));
  const step = 2 ** (Math.floor(Math.log2(largest)) - stepBits[at.half.dtype]);
  if (difference <= at.tolerance || difference > step) return;
  throw new Skip(
    `${what} differ by ${difference}, more than ${at.tolerance} and at most one step of ` +
      `${at.half.dtype} (${step}): PEFT's own differ as much from one processor to another`,
  );
}
