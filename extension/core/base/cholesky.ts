/** Cholesky's decomposition of a symmetric positive definite matrix: C = L Lᵀ, L below its diagonal. */
export class Cholesky {
  private constructor(
    private readonly lower: Float64Array,
    private readonly size: number,
  ) {}

  /** @returns null where the matrix is not positive definite */
  static of(matrix: Float64Array, size: number): Cholesky | null {
    const lower = matrix.slice();
    for (let i = 0; i < size; i++) {
      const row = lower.subarray(i * size, i * size + i + 1);
      for (let j = 0; j <= i; j++) {
        const other = lower.subarray(j * size, j * size + j);
        let sum = row[j] as number;
        for (let k = 0; k < j; k++) sum -= (row[k] as number) * (other[k] as number);
        if (i === j) {
          if (!(sum > 0)) return null;
          row[j] = Math.sqrt(sum);
        } else row[j] = sum / (lower[j * size + j] as number);
      }
    }
    return new Cholesky(lower, size);
  }

  /** C⁻¹ b for one column [size]. */
  solve(b: Float64Array): Float64Array {
    const { lower, size } = this;
    const x = b.slice();
    for (let i = 0; i < size; i++) {
      let sum = x[i] as number;
      const row = i * size;
      for (let k = 0; k < i; k++) sum -= (lower[row + k] as number) * (x[k] as number);
      x[i] = sum / (lower[row + i] as number);
    }
    for (let i = size - 1; i >= 0; i--) {
      const value = (x[i] as number) / (lower[i * size + i] as number);
      x[i] = value;
      const row = i * size;
      for (let k = 0; k < i; k++) x[k] = (x[k] as number) - (lower[row + k] as number) * value;
    }
    return x;
  }
}
