/** Adds values to a sum of as many; false where one of them is NaN or infinite. */
export function addFinite(sum: Float32Array, values: Float32Array): boolean {
  let isFinite = true;
  for (let i = 0; i < sum.length; i++) {
    const value = values[i] as number;
    isFinite &&= Number.isFinite(value);
    sum[i] = (sum[i] as number) + value;
  }
  return isFinite;
}
