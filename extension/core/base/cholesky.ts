/** Cholesky's decomposition C = L Lᵀ of a symmetric matrix; L [size, size], row-major, has zeros above its diagonal. */

/** L of a matrix of full rank; null where it is not positive definite. */
export function cholesky(matrix: ArrayLike<number>, size: number): Float64Array | null {
  return decompose(matrix, size, (rest) => (rest > 0 ? rest : null));
}

/** L of a matrix of any rank: columns of zeros stand for directions that are rounding of others. */
export function choleskyOfAnyRank(matrix: ArrayLike<number>, size: number): Float64Array {
  // Of a direction that others have, rounding is left: of the size of ε times the diagonal.
  const own = (rest: number, diagonal: number): number =>
    rest > 1e-15 * size * diagonal ? rest : 0;
  return decompose(matrix, size, own) as Float64Array;
}

/** L of C + shift · 1, which has full rank: what rounding makes less than `shift` counts as that. */
export function choleskyShifted(
  matrix: ArrayLike<number>,
  size: number,
  shift: number,
): Float64Array {
  return decompose(matrix, size, (rest) => Math.max(rest + shift, shift)) as Float64Array;
}

/** C⁻¹ b by L for one column b [size]. */
export function solveCholesky(lower: Float64Array, b: Float64Array): Float64Array<ArrayBuffer> {
  const size = b.length;
  const x = Float64Array.from(b);
  for (let i = 0; i < size; i++) {
    let sum = x[i] as number;
    for (let k = 0; k < i; k++) sum -= (lower[i * size + k] as number) * (x[k] as number);
    x[i] = sum / (lower[i * size + i] as number);
  }
  for (let i = size - 1; i >= 0; i--) {
    const value = (x[i] as number) / (lower[i * size + i] as number);
    x[i] = value;
    const row = i * size;
    for (let k = 0; k < i; k++) x[k] = (x[k] as number) - (lower[row + k] as number) * value;
  }
  return x;
}

/** @param pivot what counts of a pivot, where 0 leaves a column of zeros; null gives up */
function decompose(
  matrix: ArrayLike<number>,
  size: number,
  pivot: (rest: number, diagonal: number) => number | null,
): Float64Array | null {
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const row = i * size;
    for (let j = 0; j < i; j++) {
      const root = lower[j * size + j] as number;
      if (root === 0) continue;
      const rest = (matrix[row + j] as number) - rowProduct(lower, [row, j * size], j);
      lower[row + j] = rest / root;
    }
    const diagonal = matrix[row + i] as number;
    const own = pivot(diagonal - rowProduct(lower, [row, row], i), diagonal);
    if (own === null) return null;
    lower[row + i] = Math.sqrt(own);
  }
  return lower;
}

/** The product of the first `count` entries of two rows, in four sums that do not wait for each other. */
function rowProduct(l: Float64Array, [from, to]: readonly [number, number], count: number): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 3 < count; k += 4) {
    a += (l[from + k] as number) * (l[to + k] as number);
    b += (l[from + k + 1] as number) * (l[to + k + 1] as number);
    c += (l[from + k + 2] as number) * (l[to + k + 2] as number);
    d += (l[from + k + 3] as number) * (l[to + k + 3] as number);
  }
  for (; k < count; k++) a += (l[from + k] as number) * (l[to + k] as number);
  return a + b + c + d;
}
