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

/** What 16-bit cases have to meet; those that do not are looked at more closely. */
const strict = 1e-3;
/** What a difference of one step may be at most. */
const widest = 1e-2;

/**
 * The tolerance of a 16-bit case. Sums in another order round to the next value of the type, as PEFT's own
 * do from one processor to another (measured: 0.0049 in fp16): where all that differs is at most one
 * step at the largest logit, up to 1e-2 is allowed and the note says so; a larger step (bf16's) is not
 * passed, and not failed.
 * @throws Skip for such a step
 */
export function halfTolerance(
  what: string,
  difference: number,
  { truth, half }: { truth: Truth; half: HalfPrecision },
): { tolerance: number; note: string } {
  const largest = Math.max(...[...truth.data].map((value) => Math.abs(Number(value))));
  const step = 2 ** (Math.floor(Math.log2(largest)) - stepBits[half.dtype]);
  if (difference <= strict || difference > step) return { tolerance: strict, note: "" };
  if (difference <= widest) {
    const note = `${what} above ${strict}: one step of ${half.dtype} (${step})`;
    return { tolerance: widest, note };
  }
  throw new Skip(
    `${what} differ by ${difference}, more than ${widest} and at most one step of ` +
      `${half.dtype} (${step}): PEFT's own differ as much from one processor to another`,
  );
}
