/**
 * scikit-learn's KMeans as AdaMSS calls it: Lloyd's iterations from rows that a seed picks
 * (sklearn/cluster/_kmeans.py and _k_means_lloyd.pyx, `init="random", n_init=1, tol=1e-4`).
 */
import { torchGenerator } from "./torchRandom.ts";

/** Rows [count, width] of a matrix, in fp64. */
interface Rows {
  readonly data: Float64Array;
  readonly count: number;
  readonly width: number;
}

/** The cluster, 0 … clusters − 1, of each row of `matrix` [count, width]. */
export function kMeans(
  matrix: ArrayLike<number>,
  { count, width }: { count: number; width: number },
  { clusters, iterations, seed }: { clusters: number; iterations: number; seed: number },
): Int32Array {
  const rows = centred(matrix, count, width);
  let variance = 0;
  for (const value of rows.data) variance += value * value;
  const tolerance = (1e-4 * variance) / rows.data.length;
  let centres: Float64Array = Float64Array.from(
    choose(count, clusters, seed).flatMap((row) => [...rowOf(rows, row)]),
  );
  let labels: Int32Array = new Int32Array(count).fill(-1);
  for (let i = 0; i < iterations; i++) {
    const before = labels;
    labels = nearest(rows, centres, clusters);
    const moved = means(rows, labels, { clusters, centres });
    const shift = moved.reduce((sum, value, at) => sum + (value - (centres[at] as number)) ** 2, 0);
    centres = moved;
    if (labels.every((label, row) => label === before[row])) return labels;
    if (shift <= tolerance) break;
  }
  return nearest(rows, centres, clusters);
}

function centred(matrix: ArrayLike<number>, count: number, width: number): Rows {
  const data = Float64Array.from(matrix);
  for (let column = 0; column < width; column++) {
    let mean = 0;
    for (let row = 0; row < count; row++) mean += (data[row * width + column] as number) / count;
    for (let row = 0; row < count; row++) {
      data[row * width + column] = (data[row * width + column] as number) - mean;
    }
  }
  return { data, count, width };
}

function rowOf({ data, width }: Rows, row: number): Float64Array {
  return data.subarray(row * width, (row + 1) * width);
}

/** `RandomState(seed).choice(population, size, replace=False, p=uniform)`, which draws by the sum. */
function choose(population: number, size: number, seed: number): number[] {
  // NumPy's RandomState is the same Mersenne twister as torch's generator.
  const { bits } = torchGenerator(seed);
  const unit = (): number => ((bits() >>> 5) * 2 ** 26 + (bits() >>> 6)) / 2 ** 53;
  const chosen = new Set<number>();
  while (chosen.size < size) {
    const left = Array.from({ length: population }, (_, i) => i).filter((i) => !chosen.has(i));
    const draws = Array.from({ length: size - chosen.size }, unit);
    for (const draw of draws) chosen.add(left[Math.floor(draw * left.length)] as number);
  }
  return [...chosen];
}

function nearest(rows: Rows, centres: Float64Array, clusters: number): Int32Array {
  return Int32Array.from({ length: rows.count }, (_, row) => {
    let best = 0;
    let least = Infinity;
    for (let cluster = 0; cluster < clusters; cluster++) {
      const distance = squaredDistance(rows, row, { centres, cluster });
      if (distance < least) [best, least] = [cluster, distance];
    }
    return best;
  });
}

function squaredDistance(
  { data, width }: Rows,
  row: number,
  { centres, cluster }: { centres: Float64Array; cluster: number },
): number {
  let sum = 0;
  for (let i = 0; i < width; i++) {
    sum += ((data[row * width + i] as number) - (centres[cluster * width + i] as number)) ** 2;
  }
  return sum;
}

/** Mean of each cluster's rows; one without rows takes a row that lies far from its own centre. */
function means(
  rows: Rows,
  labels: Int32Array,
  { clusters, centres }: { clusters: number; centres: Float64Array },
): Float64Array {
  const { width, count } = rows;
  const sums = new Float64Array(clusters * width);
  const sizes = new Int32Array(clusters);
  const add = (cluster: number, row: number, sign: 1 | -1): void => {
    sizes[cluster] = (sizes[cluster] as number) + sign;
    rowOf(rows, row).forEach((value, i) => {
      const at = cluster * width + i;
      sums[at] = (sums[at] as number) + sign * value;
    });
  };
  labels.forEach((cluster, row) => add(cluster, row, 1));
  const empty = [...sizes.keys()].filter((cluster) => sizes[cluster] === 0);
  if (empty.length > 0) {
    const distance = Float64Array.from({ length: count }, (_, row) =>
      squaredDistance(rows, row, { centres, cluster: labels[row] as number }),
    );
    const far = [...distance.keys()].sort(
      (i, j) => (distance[j] as number) - (distance[i] as number),
    );
    empty.forEach((cluster, i) => {
      const row = far[i] as number;
      add(labels[row] as number, row, -1);
      add(cluster, row, 1);
    });
  }
  return sums.map((value, i) => value / (sizes[Math.floor(i / width)] as number));
}
