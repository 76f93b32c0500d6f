/**
 * Orthonormal columns [rows, columns] (rows ≥ columns): the Q of a QR decomposition with LAPACK's
 * signs (geqrf, which torch.linalg.qr calls), where a reflection turns a column onto −sign(x₁)‖x‖.
 */
export function householderBasis(
  a: ArrayLike<number>,
  rows: number,
  columns: number,
): Float64Array {
  const r = Float64Array.from(a);
  const reflections: Reflection[] = [];
  for (let step = 0; step < columns; step++) {
    const column = Float64Array.from(
      { length: rows - step },
      (_, i) => r[(step + i) * columns + step] as number,
    );
    const reflection = reflectionOf(column, step);
    reflections.push(reflection);
    reflect(r, columns, reflection);
  }
  const q = new Float64Array(rows * columns);
  for (let i = 0; i < columns; i++) q[i * columns + i] = 1;
  for (const reflection of reflections.reverse()) reflect(q, columns, reflection);
  return q;
}

/** I − τ v vᵀ on the rows from `first` on; v₁ is 1. */
export interface Reflection {
  readonly first: number;
  readonly v: Float64Array;
  readonly tau: number;
}

/** The reflection that zeroes all of x but its first value; none for what is zero already (larfg). */
export function reflectionOf(x: Float64Array, first: number): Reflection {
  const alpha = x[0] ?? 0;
  const rest = Math.sqrt(x.subarray(1).reduce((sum, value) => sum + value * value, 0));
  if (rest === 0) return { first, v: x.map((_, i) => (i === 0 ? 1 : 0)), tau: 0 };
  const beta = (alpha < 0 ? 1 : -1) * Math.hypot(alpha, rest);
  return {
    first,
    v: x.map((value, i) => (i === 0 ? 1 : value / (alpha - beta))),
    tau: (beta - alpha) / beta,
  };
}

/** vᵀ times the rows from `first` on: four rows a pass, so that sums are read and written less often. */
function weightedRows(
  matrix: Float64Array,
  columns: number,
  { first, v, from }: { first: number; v: Float64Array; from: number },
): Float64Array {
  const sums = new Float64Array(columns);
  const fours = v.length - (v.length % 4);
  for (let i = 0; i < fours; i += 4) {
    const a = (first + i) * columns;
    const [b, c, d] = [a + columns, a + 2 * columns, a + 3 * columns];
    const va = v[i] as number;
    const vb = v[i + 1] as number;
    const vc = v[i + 2] as number;
    const vd = v[i + 3] as number;
    for (let j = from; j < columns; j++) {
      sums[j] =
        (sums[j] as number) +
        va * (matrix[a + j] as number) +
        vb * (matrix[b + j] as number) +
        vc * (matrix[c + j] as number) +
        vd * (matrix[d + j] as number);
    }
  }
  for (let i = fours; i < v.length; i++) {
    const start = (first + i) * columns;
    const factor = v[i] as number;
    for (let j = from; j < columns; j++) {
      sums[j] = (sums[j] as number) + factor * (matrix[start + j] as number);
    }
  }
  return sums;
}

/**
 * Applies a reflection to the rows of a matrix of `columns` columns, in place.
 * @param at.from the first column that is still read afterwards
 */
export function reflect(
  matrix: Float64Array,
  columns: number,
  { first, v, tau, from = 0 }: Reflection & { readonly from?: number },
): void {
  if (tau === 0) return;
  const sums = weightedRows(matrix, columns, { first, v, from });
  for (let i = 0; i < v.length; i++) {
    const start = (first + i) * columns;
    const factor = tau * (v[i] as number);
    for (let j = from; j < columns; j++) {
      matrix[start + j] = (matrix[start + j] as number) - factor * (sums[j] as number);
    }
  }
}
