/** Orthonormal columns of tall matrices by products, which are quick, where these are precise enough. */
import { choleskyOfAnyRank } from "./cholesky.ts";
import { type Multiply, orthonormalColumns, transposed } from "./matrix.ts";

/** Fewer multiplications than this are not worth it. */
const worthIt = 2e7;

/**
 * As `orthonormalColumns`: by Cholesky's decomposition of the columns' products, twice (Yamamoto et al.,
 * https://etna.ricam.oeaw.ac.at/vol.44.2015/pp306-326.dir/pp306-326.pdf), which gives the same Q. Columns that
 * are nearly combinations of others are left to Gram and Schmidt.
 */
export async function quickBasis(
  a: Float64Array,
  { rows, columns }: { rows: number; columns: number },
  multiply: Multiply,
): Promise<Float64Array> {
  if (rows * columns * columns < worthIt) return orthonormalColumns(a, rows, columns);
  const once = await pass(a, { rows, columns }, multiply);
  const twice = once && (await pass(once, { rows, columns }, multiply));
  return twice ?? orthonormalColumns(a, rows, columns);
}

/** a R⁻¹, where aᵀ a = Rᵀ R; null where R has no precise inverse. */
async function pass(
  a: Float64Array,
  { rows, columns }: { rows: number; columns: number },
  multiply: Multiply,
): Promise<Float64Array | null> {
  const turned = transposed(a, rows, columns);
  const gram = await multiply(turned, a, { rows: columns, inner: rows, columns });
  const lower = choleskyOfAnyRank(gram, columns);
  for (let i = 0; i < columns; i++) {
    const pivot = lower[i * columns + i] as number;
    // Of the column's length so little is its own that its square is lost in rounding.
    if (!(pivot ** 2 > 1e-12 * (gram[i * columns + i] as number))) return null;
  }
  const inverse = upperInverse(lower, columns);
  return multiply(a, inverse, { rows, inner: columns, columns });
}

/** (Lᵀ)⁻¹ [size, size], upper triangular. */
function upperInverse(lower: Float64Array, size: number): Float64Array {
  // Rows of L⁻¹, one after the other: row i is (eᵢ − Σ L[i, k] · row k) / L[i, i].
  const rows = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const own = rows.subarray(i * size, (i + 1) * size);
    own[i] = 1;
    for (let k = 0; k < i; k++) {
      const factor = lower[i * size + k] as number;
      for (let j = 0; j <= k; j++) {
        own[j] = (own[j] as number) - factor * (rows[k * size + j] as number);
      }
    }
    const pivot = lower[i * size + i] as number;
    for (let j = 0; j <= i; j++) own[j] = (own[j] as number) / pivot;
  }
  return transposed(rows, size, size);
}
