/**
 * The singular value decomposition of a dense matrix, with vectors of the signs that
 * torch.linalg.svd finds on a CPU (LAPACK's gesdd): adapters that store what they do to singular
 * vectors, and not the vectors, depend on them.
 *
 * Signs follow from two things. Reflections bring W to bidiagonal form, each with LAPACK's sign; a
 * tall W is reduced to its triangle first. Then a bidiagonal of more than 25 rows is split at its
 * middle row, the halves are solved alike and glued (lasd1): every glued left vector is negative in
 * the middle row (lasd3 sets −1 there), except those that gluing leaves as the half had them
 * (deflation, lasd2). So any method may find the vectors, and the halves only decide on signs.
 * A common sign of all vectors differs between LAPACKs and is not reproduced.
 */
import {
  type Bidiagonal,
  bidiagonalValues,
  bidiagonalVectors,
  rotation,
  type SingularVectors,
  type Turn,
} from "./bidiagonal.ts";
import { reflect, type Reflection, reflectionOf } from "./householder.ts";
import { dot } from "./matrix.ts";

/** W = Σ values[i] left[i] right[i]ᵀ, largest value first. */
export interface Decomposition {
  readonly values: Float64Array;
  /** Vectors of [rows]. */
  readonly left: readonly Float64Array[];
  /** Vectors of [columns]. */
  readonly right: readonly Float64Array[];
}

/** Sizes of a matrix. */
interface Size {
  readonly rows: number;
  readonly columns: number;
}

const doublePrecision = 2 ** -53;
/** torch decomposes float32 in float32. */
const singlePrecision = 2 ** -24;
/** LAPACK's SMLSIZ: smaller problems are not split. */
const smallSize = 25;

/** The `count` largest singular values of a matrix [rows, columns]; cubic in the smaller side. */
export function singularVectors(
  matrix: ArrayLike<number>,
  size: Size & { readonly count: number },
): Decomposition {
  if (size.rows > size.columns) return tall(matrix, size);
  const { bidiagonal, turns, onLeft, onRight } = bidiagonalize(Float64Array.from(matrix), size);
  const rows = bidiagonal.diagonal.length;
  const depth = rows <= smallSize ? 0 : Math.floor(Math.log2(rows / (smallSize + 1))) + 1;
  const { values, left, right } = signedVectors(bidiagonal, depth);
  return {
    values: values.slice(0, size.count),
    left: left
      .slice(0, size.count)
      .map((vector) => expand(turnBack(vector, turns), size.rows, onLeft)),
    right: right.slice(0, size.count).map((vector) => expand(vector, size.columns, onRight)),
  };
}

/** All singular values of a square matrix, largest first; much cheaper than with vectors. */
export function singularValues(matrix: ArrayLike<number>, size: number): Float64Array {
  if (size === 0) return new Float64Array(0);
  const work = Float64Array.from(matrix);
  return bidiagonalValues(bidiagonalize(work, { rows: size, columns: size }).bidiagonal);
}

/** W = Q R first, with R square. */
function tall(
  matrix: ArrayLike<number>,
  { rows, columns, count }: Size & { readonly count: number },
): Decomposition {
  const r = Float64Array.from(matrix);
  const reflections: Reflection[] = [];
  for (let step = 0; step < columns; step++) {
    const reflection = reflectionOf(columnBelow(r, columns, { row: step, column: step }), step);
    reflections.push(reflection);
    reflect(r, columns, reflection);
  }
  const triangle = r
    .subarray(0, columns * columns)
    .map((value, i) => (i % columns < Math.floor(i / columns) ? 0 : value));
  const inner = singularVectors(triangle, { rows: columns, columns, count });
  return { ...inner, left: inner.left.map((vector) => expand(vector, rows, reflections)) };
}

/** Applies the reflections, last one first, to a vector that is padded to a length. */
function expand(
  vector: Float64Array,
  length: number,
  reflections: readonly Reflection[],
): Float64Array {
  const padded = new Float64Array(length);
  padded.set(vector);
  for (const reflection of reflections.toReversed()) reflect(padded, 1, reflection);
  return padded;
}

function columnBelow(
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

interface Reduced {
  readonly bidiagonal: Bidiagonal;
  /** Turns of neighbouring rows that made a lower bidiagonal upper. */
  readonly turns: readonly Turn[];
  readonly onLeft: Reflection[];
  readonly onRight: Reflection[];
}

/** gebrd: upper bidiagonal for a square matrix, for a wide one lower and then turned upper. */
function bidiagonalize(matrix: Float64Array, { rows, columns }: Size): Reduced {
  const isWide = columns > rows;
  const [onLeft, onRight]: [Reflection[], Reflection[]] = [[], []];
  const fromLeft = (row: number, column: number): void => {
    if (row >= rows) return;
    const reflection = reflectionOf(columnBelow(matrix, columns, { row, column }), row);
    onLeft.push(reflection);
    reflect(matrix, columns, reflection);
  };
  const fromRight = (row: number, column: number): void => {
    if (column >= columns) return;
    const start = row * columns;
    const reflection = reflectionOf(matrix.slice(start + column, start + columns), column);
    onRight.push(reflection);
    reflectColumns(matrix, columns, reflection);
  };
  for (let step = 0; step < rows; step++) {
    if (isWide) fromRight(step, step);
    fromLeft(isWide ? step + 1 : step, step);
    if (!isWide) fromRight(step, step + 1);
  }
  const entry = (row: number, column: number): number => matrix[row * columns + column] as number;
  const diagonal = Float64Array.from({ length: rows }, (_, i) => entry(i, i));
  const beside = Float64Array.from({ length: rows - 1 }, (_, i) =>
    isWide ? entry(i + 1, i) : entry(i, i + 1),
  );
  const turns = isWide ? turnUpper(diagonal, beside) : [];
  return { bidiagonal: { diagonal, above: beside }, turns, onLeft, onRight };
}

/** Applies a reflection to the columns of a matrix, in place. */
function reflectColumns(
  matrix: Float64Array,
  columns: number,
  { first, v, tau }: Reflection,
): void {
  if (tau === 0) return;
  for (let start = first; start < matrix.length; start += columns) {
    const own = matrix.subarray(start, start + v.length);
    const sum = tau * dot(own, v);
    for (let i = 0; i < v.length; i++) own[i] = (own[i] as number) - sum * (v[i] as number);
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

function turnBack(vector: Float64Array, turns: readonly Turn[]): Float64Array {
  const out = vector.slice();
  for (let i = turns.length - 1; i >= 0; i--) {
    const { c, s } = turns[i] as Turn;
    const [x, y] = [out[i] as number, out[i + 1] as number];
    out[i] = c * x - s * y;
    out[i + 1] = s * x + c * y;
  }
  return out;
}

/** Vectors of a bidiagonal that is split `depth` times more, with the signs told above. */
function signedVectors(whole: Bidiagonal, depth: number): SingularVectors {
  const own = bidiagonalVectors(whole, doublePrecision);
  if (depth === 0) {
    const { left } = bidiagonalVectors(whole, singlePrecision);
    own.left.forEach((vector, i) => {
      if (dot(vector, left[i] as Float64Array) < 0) flip(own, i);
    });
    return own;
  }
  const middle = Math.floor(whole.diagonal.length / 2);
  own.left.forEach((vector, i) => {
    if ((vector[middle] as number) > 0) flip(own, i);
  });
  const halves = halvesOf(whole, middle).map(({ part, first, edge, coupling }) => ({
    first,
    coupling,
    edge,
    vectors: signedVectors(part, depth - 1),
  }));
  const largest = Math.max(
    ...halves.flatMap(({ coupling, vectors }) => [Math.abs(coupling), vectors.values[0] ?? 0]),
  );
  for (const { first, coupling, edge, vectors } of halves) {
    vectors.left.forEach((vector, j) => {
      const right = vectors.right[j] as Float64Array;
      const glue = coupling * (right.at(edge) as number);
      if (Math.abs(glue) <= 8 * singlePrecision * largest) keepSign(own, vector, first);
    });
  }
  return own;
}

interface Half {
  readonly part: Bidiagonal;
  readonly first: number;
  readonly coupling: number;
  readonly edge: number;
}

/** The parts above and below the middle row, and by what and where that row touches them. */
function halvesOf({ diagonal, above }: Bidiagonal, middle: number): readonly Half[] {
  return [
    {
      part: { diagonal: diagonal.slice(0, middle), above: above.slice(0, middle) },
      first: 0,
      coupling: diagonal[middle] as number,
      edge: -1,
    },
    {
      part: { diagonal: diagonal.slice(middle + 1), above: above.slice(middle + 1) },
      first: middle + 1,
      coupling: above[middle] as number,
      edge: 0,
    },
  ];
}

/** Gives the vector that is a half's own vector the sign that it has there. */
function keepSign(own: SingularVectors, vector: Float64Array, first: number): void {
  let [best, overlap] = [0, 0];
  own.left.forEach((each, i) => {
    const common = dot(vector, each.subarray(first, first + vector.length));
    if (Math.abs(common) > Math.abs(overlap)) [best, overlap] = [i, common];
  });
  if (overlap < 0) flip(own, best);
}

function flip({ left, right }: SingularVectors, i: number): void {
  for (const vectors of [left, right]) vectors[i] = (vectors[i] as Float64Array).map((x) => -x);
}
