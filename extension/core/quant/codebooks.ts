/** The 16 values of NF4, quantiles of the normal distribution (https://arxiv.org/abs/2305.14314). */
export const nf4Code = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** The 16 values of FP4: a sign, two bits of exponent and one of mantissa, 12 being the largest. */
export const fp4Code = Float32Array.from(
  [0, 0.0625, 8, 12, 4, 6, 2, 3, -0, -0.0625, -8, -12, -4, -6, -2, -3],
  (value) => value / 12,
);

/**
 * The 256 values in which double quantization keeps the absolute maxima, ascending (bitsandbytes,
 * create_dynamic_map): seven decades, each with twice as many values as the one below, in fp32
 * steps as torch computes them.
 */
export function dynamicCode(): Float32Array {
  const values = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const factor = Math.fround(10 ** (decade - 6));
    const bounds = linspace(Math.fround(0.1), 1, 2 ** decade + 1);
    for (let i = 1; i < bounds.length; i++) {
      const sum = Math.fround((bounds[i - 1] as number) + (bounds[i] as number));
      const value = Math.fround(factor * (sum / 2));
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
}

/** torch.linspace in fp32: the upper half is counted from its end. */
function linspace(start: number, end: number, count: number): Float32Array {
  const step = Math.fround(Math.fround(end - start) / (count - 1));
  return Float32Array.from({ length: count }, (_, i) =>
    i < Math.floor(count / 2) ? start + step * i : end - step * (count - 1 - i),
  );
}
