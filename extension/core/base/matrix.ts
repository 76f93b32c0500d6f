/** Small dense linear algebra in double precision; matrices are row-major and know no shape. */
import { denseEigen, type Eigen } from "./tridiagonal.ts";

/** A product as `multiply` gives it, by whatever is quickest. */
export type Multiply = (
  a: Float64Array,
  b: Float64Array,
  size: { rows: number; inner: number; columns: number },
) => Promise<Float64Array>;

/** a [rows, inner] · b [inner, columns] → [rows, columns]. */
export function multiply(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { rows, inner, columns }: { rows: number; inner: number; columns: number },
): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < inner; k++) {
      const factor = a[i * inner + k] as number;
      if (factor === 0) continue;
      const [from, to] = [k * columns, i * columns];
      for (let j = 0; j < columns; j++) {
        out[to + j] = (out[to + j] as number) + factor * (b[from + j] as number);
      }
    }
  }
  return out;
}

/**
 * Kronecker's product of a [?, aColumns] and b [rows, columns]: every element of a times all of b
 * → [? · rows, aColumns · columns].
 */
export function kronecker(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { rows, columns, aColumns }: { rows: number; columns: number; aColumns: number },
): Float64Array {
  const width = aColumns * columns;
  const out = new Float64Array(a.length * b.length);
  for (let i = 0; i < a.length; i++) {
    const factor = a[i] as number;
    if (factor === 0) continue;
    const corner = Math.floor(i / aColumns) * rows * width + (i % aColumns) * columns;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        out[corner + row * width + column] = factor * (b[row * columns + column] as number);
      }
    }
  }
  return out;
}

/** a [rows, columns] → [columns, rows]. */
export function transposed(a: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = a[i * columns + j] as number;
  }
  return out;
}

/**
 * Orthonormal columns [rows, columns] that span those of a [rows, columns] in their order: the Q of
 * a QR decomposition with a positive diagonal of R. Gram-Schmidt, each column twice for precision.
 */
export function orthonormalColumns(
  a: ArrayLike<number>,
  rows: number,
  columns: number,
): Float64Array {
  const basis = transposed(a, rows, columns);
  for (let j = 0; j < columns; j++) {
    const own = basis.subarray(j * rows, (j + 1) * rows);
    for (let pass = 0; pass < 2; pass++) {
      for (let k = 0; k < j; k++) {
        const other = basis.subarray(k * rows, (k + 1) * rows);
        const overlap = dot(own, other);
        for (let i = 0; i < rows; i++) {
          own[i] = (own[i] as number) - overlap * (other[i] as number);
        }
      }
    }
    const norm = Math.sqrt(dot(own, own));
    if (norm > 0) for (let i = 0; i < rows; i++) own[i] = (own[i] as number) / norm;
  }
  return transposed(basis, columns, rows);
}

/**
 * Solves a [size, size] · x = b [size, columns] by elimination with row exchanges.
 * @returns x [size, columns], or null when a is singular
 */
export function solve(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { size, columns }: { size: number; columns: number },
): Float64Array | null {
  const left = Float64Array.from(a);
  const right = Float64Array.from(b);
  for (let step = 0; step < size; step++) {
    const pivot = pivotRow(left, size, step);
    const divisor = left[pivot * size + step] as number;
    if (divisor === 0) return null;
    swapRows(left, size, [step, pivot]);
    swapRows(right, columns, [step, pivot]);
    for (let row = step + 1; row < size; row++) {
      const factor = (left[row * size + step] as number) / divisor;
      if (factor === 0) continue;
      subtractRow(left, size, { row, from: step, factor });
      subtractRow(right, columns, { row, from: step, factor });
    }
  }
  for (let row = size - 1; row >= 0; row--) {
    for (let from = row + 1; from < size; from++) {
      subtractRow(right, columns, { row, from, factor: left[row * size + from] as number });
    }
    const divisor = left[row * size + row] as number;
    for (let j = 0; j < columns; j++) {
      right[row * columns + j] = (right[row * columns + j] as number) / divisor;
    }
  }
  return right;
}

function pivotRow(a: Float64Array, size: number, step: number): number {
  let best = step;
  for (let row = step + 1; row < size; row++) {
    const value = Math.abs(a[row * size + step] as number);
    if (value > Math.abs(a[best * size + step] as number)) best = row;
  }
  return best;
}

function swapRows(a: Float64Array, columns: number, [one, other]: [number, number]): void {
  if (one === other) return;
  const kept = a.slice(one * columns, (one + 1) * columns);
  a.copyWithin(one * columns, other * columns, (other + 1) * columns);
  a.set(kept, other * columns);
}

function subtractRow(
  a: Float64Array,
  columns: number,
  { row, from, factor }: { row: number; from: number; factor: number },
): void {
  for (let j = 0; j < columns; j++) {
    const i = row * columns + j;
    a[i] = (a[i] as number) - factor * (a[from * columns + j] as number);
  }
}

/**
 * Eigenvalues, largest first, and eigenvectors (as columns of [size, size]) of a symmetric matrix,
 * by Jacobi's rotations where it is small. Signs of the vectors are arbitrary.
 */
export function symmetricEigen(
  matrix: ArrayLike<number>,
  size: number,
): { values: Float64Array; vectors: Float64Array } {
  if (size > largest) return sortedEigen(denseEigen(matrix, size), size);
  const a = Float64Array.from(matrix);
  const v = Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  const scale = Math.sqrt(dot(a, a)) || 1;
  // Convergence is quadratic: ten sweeps reach the last bit, a hundred never happen.
  for (let sweep = 0; sweep < 100; sweep++) {
    let moved = false;
    for (let p = 0; p < size - 1; p++) {
      for (let q = p + 1; q < size; q++) {
        if (Math.abs(a[p * size + q] as number) <= 1e-17 * scale) continue;
        rotate(a, v, { size, p, q });
        moved = true;
      }
    }
    if (!moved) break;
  }
  const values = Array.from({ length: size }, (_, i) => a[i * size + i] as number);
  const columns = transposed(v, size, size);
  const vectors = values.map((_, i) => columns.slice(i * size, (i + 1) * size));
  return sortedEigen({ values, vectors }, size);
}

/** Above this Jacobi's rotations take too long. */
const largest = 160;

function sortedEigen(
  { values, vectors: own }: Eigen,
  size: number,
): { values: Float64Array; vectors: Float64Array } {
  const order = values.map((_, i) => i).sort((i, j) => at(values, j) - at(values, i));
  const vectors = new Float64Array(size * size);
  order.forEach((from, to) => {
    own[from]?.forEach((value, i) => (vectors[i * size + to] = value));
  });
  return { values: Float64Array.from(order, (i) => at(values, i)), vectors };
}

function rotate(
  a: Float64Array,
  v: Float64Array,
  { size, p, q }: { size: number; p: number; q: number },
): void {
  const off = a[p * size + q] as number;
  const theta = ((a[q * size + q] as number) - (a[p * size + p] as number)) / (2 * off);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const c = 1 / Math.hypot(t, 1);
  const turn = (m: Float64Array, i: number, j: number): void => {
    const [x, y] = [m[i] as number, m[j] as number];
    m[i] = c * x - t * c * y;
    m[j] = t * c * x + c * y;
  };
  for (let k = 0; k < size; k++) turn(a, k * size + p, k * size + q);
  for (let k = 0; k < size; k++) turn(a, p * size + k, q * size + k);
  for (let k = 0; k < size; k++) turn(v, k * size + p, k * size + q);
}

/** Σ x_i y_i. */
export function dot(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] as number) * (y[i] as number);
  return sum;
}

function at(values: readonly number[], i: number): number {
  return values[i] as number;
}

/** Every value times a factor: the array itself for 1. A plain loop takes a tenth of what `map` does. */
export function scaled(values: Float32Array, factor: number): Float32Array {
  if (factor === 1) return values;
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = (values[i] as number) * factor;
  return out;
}
