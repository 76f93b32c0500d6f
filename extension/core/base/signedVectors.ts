/**
 * Singular vectors of a bidiagonal with the signs that LAPACK's divide and conquer gives them (svd.ts tells
 * how): all, or of a large one those of its largest values.
 */
import { type Bidiagonal, bidiagonalVectors, type SingularVectors } from "./bidiagonal.ts";
import { dot } from "./matrix.ts";
import { leadingEigenvectors } from "./singular.ts";

const doublePrecision = 2 ** -53;
/** torch decomposes float32 in float32. */
const singlePrecision = 2 ** -24;
/** LAPACK's SMLSIZ: smaller problems are not split. */
export const smallSize = 25;

/** How a bidiagonal's vectors are found. */
export interface Signing {
  /** How often it is split. */
  readonly depth: number;
  readonly count: number;
  /** Above so many rows the `count` largest alone are found. */
  readonly largest: number;
}

/** Vectors of a bidiagonal, with the signs told above; all, or of a large one those that are wanted. */
export function signedVectors(whole: Bidiagonal, { depth, ...wanted }: Signing): SingularVectors {
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
