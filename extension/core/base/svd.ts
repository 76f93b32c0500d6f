/**
 * The singular value decomposition of a dense matrix, with vectors of the signs that
 * torch.linalg.svd finds on a CPU (LAPACK's gesdd): adapters that store what they do to singular
 * vectors, and not the vectors, depend on them.
 *
 * Signs follow from two things. Reflections bring W to bidiagonal form, each with LAPACK's sign; a
 * W from half as tall again as wide is reduced to its triangle first. Then a bidiagonal of more than 25 rows is split at its
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
import { pause } from "./pause.ts";
import { leadingEigenvectors } from "./singular.ts";

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
/** How much taller than wide a matrix is that torch (MKL) reduces to its triangle first. */
const tallFrom = 1.5;

/** Which directions of a matrix are wanted: the largest. */
export interface SingularRequest extends Size {
  readonly count: number;
  /** Of a bidiagonal with more rows than this the wanted directions alone are found; 512 when absent. */
  readonly largest?: number;
}

/** The `count` largest singular values of a matrix [rows, columns]; cubic in the smaller side. */
export function singularVectors(
  matrix: ArrayLike<number>,
  request: SingularRequest,
): Decomposition {
  const steps = decomposing(matrix, request);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Milliseconds that it works without looking up. */
const turn = 50;

/** The same, so that the rest of the process has its turns. @throws cancelled */
export async function patientSingularVectors(
  matrix: ArrayLike<number>,
  request: SingularRequest,
  signal?: AbortSignal,
): Promise<Decomposition> {
  const steps = decomposing(matrix, request);
  for (let last = performance.now(); ;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() - last < turn) continue;
    await pause(signal);
    last = performance.now();
  }
}

/** About how many multiplications that takes. */
export function decompositionCost(rows: number, columns: number): number {
  const [long, short] = [Math.max(rows, columns), Math.min(rows, columns)];
  const first = rows > columns ? short ** 2 * (long - short / 3) : 0;
  const width = rows > columns ? short : long;
  return first + 2 * short ** 2 * (width - short / 3);
}

/** A decomposition in steps of a row. */
function* decomposing(
  matrix: ArrayLike<number>,
  size: SingularRequest,
): Generator<undefined, Decomposition> {
  if (size.rows > size.columns && size.rows >= tallFrom * size.columns)
    return yield* tall(matrix, size);
  const reduced = yield* bidiagonalize(Float64Array.from(matrix), size);
  const { bidiagonal, turns, onLeft, onRight } = reduced;
  const rows = bidiagonal.diagonal.length;
  const depth = rows <= smallSize ? 0 : Math.floor(Math.log2(rows / (smallSize + 1))) + 1;
  const { count, largest = 512 } = size;
  const { values, left, right } = signedVectors(bidiagonal, { depth, count, largest });
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
  const steps = bidiagonalize(Float64Array.from(matrix), { rows: size, columns: size });
  for (;;) {
    const step = steps.next();
    if (step.done === true) return bidiagonalValues(step.value.bidiagonal);
  }
}

/** W = Q R first, with R square. */
function* tall(
  matrix: ArrayLike<number>,
  { rows, columns, ...request }: SingularRequest,
): Generator<undefined, Decomposition> {
  const r = Float64Array.from(matrix);
  const reflections: Reflection[] = [];
  for (let step = 0; step < columns; step++) {
    const reflection = reflectionOf(columnBelow(r, columns, { row: step, column: step }), step);
    reflections.push(reflection);
    reflect(r, columns, { ...reflection, from: step });
    yield;
  }
  const triangle = r
    .subarray(0, columns * columns)
    .map((value, i) => (i % columns < Math.floor(i / columns) ? 0 : value));
  const inner = yield* decomposing(triangle, { rows: columns, columns, ...request });
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

/** gebrd: upper bidiagonal for a square or tall matrix, for a wide one lower and then turned upper. */
function* bidiagonalize(
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
  for (let start = row * columns + first; start < matrix.length; start += columns) {
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

/** How a bidiagonal's vectors are found. */
interface Signing {
  /** How often it is split. */
  readonly depth: number;
  readonly count: number;
  /** Above so many rows the `count` largest alone are found. */
  readonly largest: number;
}

/** Vectors of a bidiagonal, with the signs told above; all, or of a large one those that are wanted. */
function signedVectors(whole: Bidiagonal, { depth, ...wanted }: Signing): SingularVectors {
  const isWhole = whole.diagonal.length <= wanted.largest;
  const own = isWhole
    ? bidiagonalVectors(whole, doublePrecision)
    : leadingVectors(whole, wanted.count);
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
    vectors: signedVectors(part, { ...wanted, depth: depth - 1 }),
  }));
  const largest = Math.max(
    ...halves.flatMap(({ coupling, vectors }) => [Math.abs(coupling), vectors.values[0] ?? 0]),
  );
  for (const { first, coupling, edge, vectors } of halves) {
    vectors.left.forEach((vector, j) => {
      const right = vectors.right[j] as Float64Array;
      const glue = coupling * (right.at(edge) as number);
      if (Math.abs(glue) > 8 * singlePrecision * largest) return;
      keepSign(own, vector, { first, least: isWhole ? 0 : 0.7 });
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

/**
 * Gives the vector that is a half's own vector the sign that it has there.
 * @param at.least how alike they are, where that vector may not be among those that were found
 */
function keepSign(
  own: SingularVectors,
  vector: Float64Array,
  { first, least }: { first: number; least: number },
): void {
  let [best, overlap] = [0, 0];
  own.left.forEach((each, i) => {
    const common = dot(vector, each.subarray(first, first + vector.length));
    if (Math.abs(common) > Math.abs(overlap)) [best, overlap] = [i, common];
  });
  if (overlap < -least) flip(own, best);
}

/** The largest directions of a bidiagonal B, by those of B Bᵀ. */
function leadingVectors({ diagonal, above }: Bidiagonal, count: number): SingularVectors {
  const [rows, columns] = [diagonal.length, above.length + 1];
  const transposedTimes = (y: Float64Array): Float64Array<ArrayBuffer> => {
    const x = new Float64Array(columns);
    for (let i = 0; i < rows; i++) {
      const value = y[i] as number;
      x[i] = (x[i] as number) + (diagonal[i] as number) * value;
      if (i < above.length) x[i + 1] = (above[i] as number) * value;
    }
    return x;
  };
  const times = (x: Float64Array): Float64Array<ArrayBuffer> => {
    const y = new Float64Array(rows);
    for (let i = 0; i < rows; i++) {
      const beside = i < above.length ? (above[i] as number) * (x[i + 1] as number) : 0;
      y[i] = (diagonal[i] as number) * (x[i] as number) + beside;
    }
    return y;
  };
  const left = leadingEigenvectors((y) => times(transposedTimes(y)), rows, Math.min(count, rows));
  const images = left.map(transposedTimes);
  const values = Float64Array.from(images, (image) => Math.sqrt(dot(image, image)));
  const right = images.map((image, i) => image.map((value) => value / (values[i] as number)));
  return { values, left, right };
}

function flip({ left, right }: SingularVectors, i: number): void {
  for (const vectors of [left, right]) vectors[i] = (vectors[i] as Float64Array).map((x) => -x);
}
