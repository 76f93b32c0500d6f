/** Eigenvalues and eigenvectors of symmetric matrices by way of a tridiagonal one. */
import { reflect, type Reflection, reflectionOf } from "./householder.ts";

type Vector = Float64Array<ArrayBuffer>;

/** vectors[i] belongs to values[i]; no order. */
export interface Eigen {
  readonly values: number[];
  readonly vectors: Vector[];
}

/**
 * Of a symmetric matrix [size, size]: reflections make it tridiagonal (EISPACK tred2), QL steps diagonal.
 * Precise to rounding of the largest value; far quicker than Jacobi's rotations where size is large.
 */
export function denseEigen(matrix: ArrayLike<number>, size: number): Eigen {
  const a = Float64Array.from(matrix);
  const reflections: Reflection[] = [];
  for (let step = 0; step + 2 < size; step++) {
    const column = Float64Array.from(
      { length: size - step - 1 },
      (_, i) => a[(step + 1 + i) * size + step] as number,
    );
    const reflection = reflectionOf(column, step + 1);
    reflections.push(reflection);
    reflectBothSides(a, size, reflection);
  }
  const diagonal = Array.from({ length: size }, (_, i) => a[i * size + i] as number);
  const beside = Array.from({ length: size - 1 }, (_, i) => a[(i + 1) * size + i] as number);
  const { values, vectors } = tridiagonalEigen(diagonal, beside);
  for (const vector of vectors) {
    for (const reflection of reflections.toReversed()) reflect(vector, 1, reflection);
  }
  return { values, vectors };
}

/** a → H a H of a symmetric matrix, in place: with p = τ a v, w = p − ½ τ (pᵀv) v it is a − v wᵀ − w vᵀ. */
function reflectBothSides(a: Float64Array, size: number, { first, v, tau }: Reflection): void {
  if (tau === 0) return;
  const count = v.length;
  const w = new Float64Array(count);
  let overlap = 0;
  for (let i = 0; i < count; i++) {
    const start = (first + i) * size + first;
    let sum = 0;
    for (let j = 0; j < count; j++) sum += (a[start + j] as number) * (v[j] as number);
    w[i] = tau * sum;
    overlap += tau * sum * (v[i] as number);
  }
  for (let i = 0; i < count; i++) w[i] = (w[i] as number) - 0.5 * tau * overlap * (v[i] as number);
  for (let i = 0; i < count; i++) {
    const start = (first + i) * size + first;
    const [vi, wi] = [v[i] as number, w[i] as number];
    for (let j = 0; j < count; j++) {
      a[start + j] = (a[start + j] as number) - vi * (w[j] as number) - wi * (v[j] as number);
    }
  }
  // What the reflection makes of the row and the column before it.
  reflectColumn(a, size, { first, v, tau });
}

/** The column before the reflection's first row, below the diagonal: its length and zeros. */
function reflectColumn(a: Float64Array, size: number, { first, v, tau }: Reflection): void {
  const column = first - 1;
  let sum = 0;
  for (let i = 0; i < v.length; i++) {
    sum += (v[i] as number) * (a[(first + i) * size + column] as number);
  }
  for (let i = 0; i < v.length; i++) {
    const place = (first + i) * size + column;
    const value = (a[place] as number) - tau * sum * (v[i] as number);
    a[place] = value;
    a[column * size + first + i] = value;
  }
}

/**
 * Eigenvalues and vectors of a symmetric tridiagonal matrix, by implicit QL (EISPACK tql2).
 * vectors[i] belongs to values[i]; no order.
 */
export function tridiagonalEigen(
  diagonal: readonly number[],
  offDiagonal: readonly number[],
): Eigen {
  const n = diagonal.length;
  const d = [...diagonal];
  const e = [...offDiagonal.slice(0, n - 1), 0];
  const vectors = Array.from({ length: n }, (_, i) => {
    const unit = new Float64Array(n);
    unit[i] = 1;
    return unit;
  });
  for (let low = 0; low < n; low++) {
    for (let round = 0; round < 60; round++) {
      let high = low;
      while (high < n - 1) {
        const scale = Math.abs(at(d, high)) + Math.abs(at(d, high + 1));
        if (Math.abs(at(e, high)) <= 1.1e-16 * scale) break;
        high++;
      }
      if (high === low) break;
      chase(d, e, { low, high, vectors });
    }
  }
  return { values: d, vectors };
}

/** One sweep of plane rotations from `high` down to `low`, shifted to converge at `low`. */
function chase(
  d: number[],
  e: number[],
  { low, high, vectors }: { low: number; high: number; vectors: Vector[] },
): void {
  const start = (at(d, low + 1) - at(d, low)) / (2 * at(e, low));
  const length = Math.hypot(start, 1);
  let g = at(d, high) - at(d, low) + at(e, low) / (start + (start < 0 ? -length : length));
  let [s, c, p] = [1, 1, 0];
  for (let i = high - 1; i >= low; i--) {
    const [f, b] = [s * at(e, i), c * at(e, i)];
    const r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      d[i + 1] = at(d, i + 1) - p;
      e[high] = 0;
      return;
    }
    [s, c] = [f / r, g / r];
    g = at(d, i + 1) - p;
    const q = (at(d, i) - g) * s + 2 * c * b;
    p = s * q;
    d[i + 1] = g + p;
    g = c * q - b;
    const [x, y] = [vectors[i] as Vector, vectors[i + 1] as Vector];
    for (let k = 0; k < x.length; k++) {
      const [xk, yk] = [at(x, k), at(y, k)];
      y[k] = s * xk + c * yk;
      x[k] = c * xk - s * yk;
    }
  }
  d[low] = at(d, low) - p;
  e[low] = g;
  e[high] = 0;
}

function at(values: ArrayLike<number>, i: number): number {
  return values[i] as number;
}
