/**
 * Few singular directions of a large matrix, by Lanczos' method with full reorthogonalisation
 * (Golub & Van Loan, Matrix Computations, ch. 10) on the smaller Gram matrix, in double precision.
 * What is wanted are parts of a matrix, which do not depend on the signs of singular vectors.
 */
import { choleskyShifted, solveCholesky } from "./cholesky.ts";
import { columnsAsRows, gram, rowsOf } from "./gram.ts";
import { seededRandom } from "./random.ts";
import { tridiagonalEigen } from "./tridiagonal.ts";

type Vector = Float64Array<ArrayBuffer>;
type Operator = (x: Vector) => Vector;

/** A part of a matrix as left [rows, rank] · right [rank, columns]. */
export interface SingularPart {
  readonly left: Float64Array;
  readonly right: Float64Array;
  readonly rank: number;
}

export interface SingularRequest {
  readonly rows: number;
  readonly columns: number;
  /** How many singular directions; at most the smaller size. */
  readonly count: number;
  readonly end: "largest" | "smallest";
}

/** The part U S Vᵀ of a matrix [rows, columns] that belongs to its largest or smallest singular values. */
export function singularPart(
  matrix: Float32Array,
  { rows, columns, count, end }: SingularRequest,
): SingularPart {
  const isTall = rows >= columns;
  const size = Math.min(rows, columns);
  const forward: Operator = (x) => times(matrix, x, rows);
  const back: Operator = (y) => timesTransposed(matrix, y, columns);
  const product: Operator = isTall ? (x) => back(forward(x)) : (y) => forward(back(y));
  const apply = end === "largest" ? product : inverseGram(matrix, { rows, columns });
  const basis = leadingEigenvectors(apply, size, Math.min(count, size));
  // With orthonormal V the part is (W V) Vᵀ, with orthonormal U it is U (Uᵀ W).
  const others = basis.map(isTall ? forward : back);
  const [left, right] = isTall ? [others, basis] : [basis, others];
  const rank = basis.length;
  const out = new Float64Array(rows * rank);
  left.forEach((x, r) => x.forEach((value, row) => (out[row * rank + r] = value)));
  const flat = new Float64Array(rank * columns);
  right.forEach((x, r) => flat.set(x, r * columns));
  return { left: out, right: flat, rank };
}

/** Below this size all directions are computed, so that equal singular values are all found. */
const smallSize = 256;

/** Orthonormal eigenvectors of the `count` largest eigenvalues of a symmetric operator. */
export function leadingEigenvectors(apply: Operator, size: number, count: number): Vector[] {
  const random = seededRandom(1);
  const basis: Vector[] = [];
  const diagonal: number[] = [];
  const offDiagonal: number[] = [];
  let next = freshVector(basis, size, random);
  let check = size <= smallSize ? size : 2 * count + 20;
  for (;;) {
    basis.push(next);
    const image = apply(next);
    diagonal.push(dot(image, next, size));
    const beta = orthogonalise(image, basis);
    const steps = basis.length;
    if (steps === size || steps >= check) {
      const { values, vectors } = tridiagonalEigen(diagonal, offDiagonal);
      const order = values.map((_, i) => i).sort((i, j) => at(values, j) - at(values, i));
      const wanted = order.slice(0, count);
      const floor = 1e-14 * at(values, at(order, 0));
      const isDone = wanted.every((i) => {
        const residual = beta * Math.abs(at(vectors[i] as Vector, steps - 1));
        return residual <= Math.max(1e-11 * at(values, i), floor);
      });
      if (isDone || steps === size) {
        return wanted.map((i) => combine(basis, vectors[i] as Vector, size));
      }
      check = Math.ceil(1.25 * steps);
    }
    const isInvariant = beta <= 1e-14 * Math.max(...diagonal.map(Math.abs), Number.MIN_VALUE);
    offDiagonal.push(isInvariant ? 0 : beta);
    next = isInvariant ? freshVector(basis, size, random) : scaled(image, 1 / beta);
  }
}

/** A direction that no basis vector has. */
function freshVector(basis: readonly Vector[], size: number, random: () => number): Vector {
  for (;;) {
    const x = Float64Array.from({ length: size }, () => random() - 0.5);
    const norm = orthogonalise(x, basis);
    if (norm > 1e-8) return scaled(x, 1 / norm);
  }
}

/** Takes from x what lies in the basis, twice for precision; returns what is left of its length. */
function orthogonalise(x: Vector, basis: readonly Vector[]): number {
  for (let pass = 0; pass < 2; pass++) {
    for (const other of basis) {
      addScaled(x, other, -dot(x, other, x.length));
    }
  }
  return Math.sqrt(dot(x, x, x.length));
}

/** x → G⁻¹ x of the smaller Gram matrix G, Wᵀ W of a tall W or W Wᵀ of a wide one. */
function inverseGram(matrix: Float32Array, size: { rows: number; columns: number }): Operator {
  const isTall = size.rows >= size.columns;
  const g = gram(isTall ? columnsAsRows(matrix, size) : rowsOf(matrix, size));
  const side = Math.min(size.rows, size.columns);
  let trace = 0;
  for (let i = 0; i < side; i++) trace += at(g, i * (side + 1));
  // Far below what a float32 weight resolves; keeps a matrix without full rank solvable.
  const shift = (1e-15 * trace || 1) + Number.MIN_VALUE;
  const lower = choleskyShifted(g, side, shift);
  return (x) => solveCholesky(lower, x);
}

/** W x, two rows a pass. */
function times(w: Float32Array, x: Vector, rows: number): Vector {
  const columns = x.length;
  const out = new Float64Array(rows);
  for (let row = 0; row < rows; row += 2) {
    const [from, to] = [row * columns, (row + 1 < rows ? row + 1 : row) * columns];
    let [a, b] = [0, 0];
    for (let j = 0; j < columns; j++) {
      const value = x[j] as number;
      a += (w[from + j] as number) * value;
      b += (w[to + j] as number) * value;
    }
    out[row] = a;
    if (row + 1 < rows) out[row + 1] = b;
  }
  return out;
}

/** Wᵀ y, two rows a pass. */
function timesTransposed(w: Float32Array, y: Vector, columns: number): Vector {
  const rows = y.length;
  const out = new Float64Array(columns);
  for (let row = 0; row < rows; row += 2) {
    const hasTwo = row + 1 < rows;
    const [from, to] = [row * columns, (hasTwo ? row + 1 : row) * columns];
    const [a, b] = [y[row] as number, hasTwo ? (y[row + 1] as number) : 0];
    for (let j = 0; j < columns; j++) {
      out[j] = (out[j] as number) + a * (w[from + j] as number) + b * (w[to + j] as number);
    }
  }
  return out;
}

/** Σ weights_i basis_i. */
function combine(basis: readonly Vector[], weights: Vector, size: number): Vector {
  const out = new Float64Array(size);
  basis.forEach((x, i) => addScaled(out, x, weights[i] as number));
  return out;
}

/** out += factor · x. */
function addScaled(out: Vector, x: Vector, factor: number): void {
  for (let i = 0; i < out.length; i++) out[i] = (out[i] as number) + factor * (x[i] as number);
}

/** Σ x_i y_i over the first `count` entries, in four sums that do not wait for each other. */
function dot(x: Vector, y: Vector, count: number): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < count; i += 4) {
    a += (x[i] as number) * (y[i] as number);
    b += (x[i + 1] as number) * (y[i + 1] as number);
    c += (x[i + 2] as number) * (y[i + 2] as number);
    d += (x[i + 3] as number) * (y[i + 3] as number);
  }
  for (; i < count; i++) a += (x[i] as number) * (y[i] as number);
  return a + b + c + d;
}

function scaled(x: Vector, factor: number): Vector {
  return x.map((value) => value * factor);
}

function at(values: ArrayLike<number>, i: number): number {
  return values[i] as number;
}
