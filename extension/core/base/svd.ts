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
import { bidiagonalValues } from "./bidiagonal.ts";
import { bidiagonalize, columnBelow, type Size, turnBack } from "./bidiagonalize.ts";
import { reflect, type Reflection, reflectionOf } from "./householder.ts";
import { pause } from "./pause.ts";
import { signedVectors, smallSize } from "./signedVectors.ts";

/** W = Σ values[i] left[i] right[i]ᵀ, largest value first. */
export interface Decomposition {
  readonly values: Float64Array;
  /** Vectors of [rows]. */
  readonly left: readonly Float64Array[];
  /** Vectors of [columns]. */
  readonly right: readonly Float64Array[];
}

/** How much taller than wide a matrix is that torch (MKL) reduces to its triangle first. */
const tallFrom = 1.5;

/** Which directions of a matrix are wanted: the largest. */
export interface SingularRequest extends Size {
  readonly count: number;
  /** Of a bidiagonal with more rows than this the wanted directions alone are found; 128 when absent. */
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
  const { count, largest = 128 } = size;
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
