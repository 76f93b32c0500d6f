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
  const sums = new Float64Array(columns);
  for (let i = 0; i < v.length; i++) {
    const start = (first + i) * columns;
    const factor = v[i] as number;
    for (let j = from; j < columns; j++) {
      sums[j] = (sums[j] as number) + factor * (matrix[start + j] as number);
    }
  }
  for (let i = 0; i < v.length; i++) {
    const start = (first + i) * columns;
    const factor = tau * (v[i] as number);
    for (let j = from; j < columns; j++) {
      matrix[start + j] = (matrix[start + j] as number) - factor * (sums[j] as number);
    }
  }
}
