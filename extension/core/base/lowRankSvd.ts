/**
 * torch.svd_lowrank (torch/_lowrank.py; Halko, Martinsson and Tropp, https://arxiv.org/abs/0909.4061,
 * algorithms 4.4 and 5.1): the largest singular directions of a matrix, found in the span of its product with
 * random columns. Computed in double precision; which directions are found depends on the draws.
 */
import { householderBasis } from "./householder.ts";
import { multiply, transposed } from "./matrix.ts";
import { singularVectors } from "./svd.ts";

/** A [rows, columns] ≈ u · diag(s) · vᵀ */
export interface LowRankSvd {
  /** How many directions: q, or the smaller side where that is less. */
  readonly rank: number;
  /** [rows, rank] */
  readonly u: Float64Array;
  /** Largest first. */
  readonly s: Float64Array;
  /** [rank, columns] */
  readonly v: Float64Array;
}

/** Products with a matrix A [rows, columns]; others than JavaScript's own are given for large ones. */
export interface MatrixProducts {
  /** A · x [columns, width] → [rows, width] */
  times(x: Float64Array, width: number): Promise<Float64Array>;
  /** Aᵀ · y [rows, width] → [columns, width] */
  timesTransposed(y: Float64Array, width: number): Promise<Float64Array>;
}

export interface LowRankRequest {
  readonly rows: number;
  readonly columns: number;
  /** Random columns, of which there can be more than the matrix has directions. */
  readonly q: number;
  /** Passes over the matrix and back. */
  readonly iterations: number;
  /** `torch.randn` of the matrix' own type. */
  readonly draw: (count: number) => ArrayLike<number>;
}

/** The products of a matrix that is in memory, row-major. */
export function productsOf(
  matrix: ArrayLike<number>,
  { rows, columns }: { rows: number; columns: number },
): MatrixProducts {
  let turned: Float64Array | null = null;
  return {
    times: (x, width) =>
      Promise.resolve(multiply(matrix, x, { rows, inner: columns, columns: width })),
    timesTransposed: (y, width) => {
      turned ??= transposed(matrix, rows, columns);
      return Promise.resolve(multiply(turned, y, { rows: columns, inner: rows, columns: width }));
    },
  };
}

/** The `q` largest singular directions, or as many as there are. */
export async function lowRankSvd(
  products: MatrixProducts,
  { rows, columns, q, iterations, draw }: LowRankRequest,
): Promise<LowRankSvd> {
  if (rows < columns) {
    // torch turns a wide matrix first.
    const turned = {
      times: products.timesTransposed.bind(products),
      timesTransposed: products.times.bind(products),
    };
    const own = await lowRankSvd(turned, { rows: columns, columns: rows, q, iterations, draw });
    const { rank, s } = own;
    return { rank, s, u: transposed(own.v, rank, rows), v: transposed(own.u, columns, rank) };
  }
  const width = Math.min(q, columns);
  const drawn = draw(columns * q);
  let x = firstColumns(drawn, { columns: q, width });
  let basis = householderBasis(await products.times(x, width), rows, width);
  for (let i = 0; i < iterations; i++) {
    x = await products.timesTransposed(basis, width);
    x = householderBasis(x, columns, width);
    basis = householderBasis(await products.times(x, width), rows, width);
  }
  // Qᵀ A is as small as Q is narrow.
  const small = transposed(await products.timesTransposed(basis, width), columns, width);
  const found = singularVectors(small, { rows: width, columns, count: width });
  const inner = new Float64Array(width * width);
  found.left.forEach((vector, j) => {
    for (let i = 0; i < width; i++) inner[i * width + j] = vector[i] as number;
  });
  const u = multiply(basis, inner, { rows, inner: width, columns: width });
  const v = new Float64Array(width * columns);
  found.right.forEach((vector, i) => v.set(vector, i * columns));
  return { rank: width, u, s: found.values, v };
}

function firstColumns(
  matrix: ArrayLike<number>,
  { columns, width }: { columns: number; width: number },
): Float64Array {
  const rows = columns === 0 ? 0 : matrix.length / columns;
  return Float64Array.from(
    { length: rows * width },
    (_, i) => matrix[Math.floor(i / width) * columns + (i % width)] as number,
  );
}
