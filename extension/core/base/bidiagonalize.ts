/** The reduction of a dense matrix to bidiagonal form by reflections that have LAPACK's signs. */
import { type Bidiagonal, rotation, type Turn } from "./bidiagonal.ts";
import { reflect, type Reflection, reflectionOf } from "./householder.ts";

/** Sizes of a matrix. */
export interface Size {
  readonly rows: number;
  readonly columns: number;
}

export function columnBelow(
  matrix: Float64Array,
  columns: number,
  from: { row: number; column: number },
): Float64Array {
  const rows = matrix.length / columns;
  return Float64Array.from(
    { length: rows - from.row },
    (_, i) => matrix[(from.row + i) * columns + from.column] as number,
  );
}

export interface Reduced {
  readonly bidiagonal: Bidiagonal;
  /** Turns of neighbouring rows that made a lower bidiagonal upper. */
  readonly turns: readonly Turn[];
  readonly onLeft: Reflection[];
  readonly onRight: Reflection[];
}

/** gebrd: upper bidiagonal for a square or tall matrix, for a wide one lower and then turned upper. */
export function* bidiagonalize(
  matrix: Float64Array,
  { rows, columns }: Size,
): Generator<undefined, Reduced> {
  const isWide = columns > rows;
  const size = Math.min(rows, columns);
  const [onLeft, onRight]: [Reflection[], Reflection[]] = [[], []];
  const fromLeft = (row: number, column: number): void => {
    if (row >= rows) return;
    const reflection = reflectionOf(columnBelow(matrix, columns, { row, column }), row);
    onLeft.push(reflection);
    reflect(matrix, columns, { ...reflection, from: column });
  };
  const fromRight = (row: number, column: number): void => {
    if (column >= columns) return;
    const start = row * columns;
    const reflection = reflectionOf(matrix.slice(start + column, start + columns), column);
    onRight.push(reflection);
    reflectColumns(matrix, columns, { ...reflection, row });
  };
  for (let step = 0; step < size; step++) {
    if (isWide) fromRight(step, step);
    fromLeft(isWide ? step + 1 : step, step);
    if (!isWide) fromRight(step, step + 1);
    yield;
  }
  const entry = (row: number, column: number): number => matrix[row * columns + column] as number;
  const diagonal = Float64Array.from({ length: size }, (_, i) => entry(i, i));
  const beside = Float64Array.from({ length: size - 1 }, (_, i) =>
    isWide ? entry(i + 1, i) : entry(i, i + 1),
  );
  const turns = isWide ? turnUpper(diagonal, beside) : [];
  return { bidiagonal: { diagonal, above: beside }, turns, onLeft, onRight };
}

/** Applies a reflection to the columns of a matrix, in place, from a row on: those above are done with. */
function reflectColumns(
  matrix: Float64Array,
  columns: number,
  { first, v, tau, row }: Reflection & { row: number },
): void {
  if (tau === 0) return;
  const count = v.length;
  for (let start = row * columns + first; start < matrix.length; start += columns) {
    // Four sums that do not wait for each other.
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    let k = 0;
    for (; k + 3 < count; k += 4) {
      a += (matrix[start + k] as number) * (v[k] as number);
      b += (matrix[start + k + 1] as number) * (v[k + 1] as number);
      c += (matrix[start + k + 2] as number) * (v[k + 2] as number);
      d += (matrix[start + k + 3] as number) * (v[k + 3] as number);
    }
    for (; k < count; k++) a += (matrix[start + k] as number) * (v[k] as number);
    const sum = tau * (a + b + c + d);
    for (let n = 0; n < count; n++) {
      matrix[start + n] = (matrix[start + n] as number) - sum * (v[n] as number);
    }
  }
}

/** Makes a lower bidiagonal upper, in place. */
function turnUpper(diagonal: Float64Array, beside: Float64Array): Turn[] {
  return Array.from(beside, (value, i) => {
    const { c, s, r } = rotation(diagonal[i] as number, value);
    const next = diagonal[i + 1] as number;
    diagonal[i] = r;
    beside[i] = s * next;
    diagonal[i + 1] = c * next;
    return { c, s };
  });
}

export function turnBack(vector: Float64Array, turns: readonly Turn[]): Float64Array {
  const out = vector.slice();
  for (let i = turns.length - 1; i >= 0; i--) {
    const { c, s } = turns[i] as Turn;
    const [x, y] = [out[i] as number, out[i + 1] as number];
    out[i] = c * x - s * y;
    out[i + 1] = s * x + c * y;
  }
  return out;
}
