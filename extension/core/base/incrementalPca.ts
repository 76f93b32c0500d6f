/**
 * Principal components of rows that come batch by batch (PEFT utils/incremental_pca.py, after scikit-learn):
 * what was found before stands in for the rows that it was found in.
 */
import { lowRankSvd, type MatrixProducts, productsOf } from "./lowRankSvd.ts";
import { torchGenerator } from "./torchRandom.ts";

/** What batches so far have told. */
export interface Components {
  /** Rows so far. */
  readonly count: number;
  /** [columns] */
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  /** [components, columns], of length 1 each, the largest share first. */
  readonly directions: Float64Array;
  readonly singularValues: Float64Array;
  /** Share of the variance that each explains. */
  readonly ratios: Float64Array;
}

export interface PcaOptions {
  readonly columns: number;
  readonly components: number;
  /** Products with large matrices, where there are quicker ones. */
  readonly products?: typeof productsOf;
}

/** PEFT's lowrank_seed and lowrank_niter. */
const [seed, iterations] = [42, 4];

/** @param x [rows, columns], at least as many rows as components */
export async function withRows(
  before: Components | null,
  x: Float32Array,
  { columns, components, products = productsOf }: PcaOptions,
): Promise<Components> {
  const rows = x.length / columns;
  const { count, mean, variance } = moments(before, x, columns);
  const matrix = before ? stacked(before, x, { columns, count }) : centred(x, mean);
  const size = { rows: matrix.length / columns, columns };
  const random = torchGenerator(seed);
  const own: MatrixProducts = products(matrix, size);
  const found = await lowRankSvd(own, {
    ...size,
    q: 2 * components,
    iterations,
    // The rows of the first batch are float32, later ones stand below float64.
    draw: (drawn) => (before ? random.normalDouble(drawn) : random.normal(drawn)),
  });
  const kept = Math.min(components, found.rank);
  const directions = found.v.slice(0, kept * columns);
  for (let i = 0; i < kept; i++) turnUp(directions.subarray(i * columns, (i + 1) * columns));
  const total = variance.reduce((sum, value) => sum + value, 0) * (count + rows);
  const singularValues = found.s.slice(0, kept);
  const ratios = singularValues.map((value) => (total === 0 ? 0 : value ** 2 / total));
  return { count: count + rows, mean, variance, directions, singularValues, ratios };
}

/** Mean and variance of all rows so far; `count` is that of the rows before. */
function moments(
  before: Components | null,
  x: Float32Array,
  columns: number,
): { count: number; mean: Float64Array; variance: Float64Array } {
  const rows = x.length / columns;
  const count = before?.count ?? 0;
  const all = count + rows;
  const sums = sumOfColumns(x, columns, (value) => value);
  const own = sums.map((sum) => sum / rows);
  const squares = sumOfColumns(x, columns, (value, j) => (value - (own[j] as number)) ** 2);
  const mean = sums.map((sum, j) => (sum + count * (before?.mean[j] ?? 0)) / all);
  const variance = squares.map((square, j) => {
    if (!before) return square / all;
    const apart = (before.mean[j] as number) - (own[j] as number);
    const between = (apart ** 2 * count * rows) / all;
    return ((before.variance[j] as number) * count + square + between) / all;
  });
  return { count, mean, variance };
}

function sumOfColumns(
  x: Float32Array,
  columns: number,
  of: (value: number, column: number) => number,
): Float64Array {
  const sums = new Float64Array(columns);
  for (let start = 0; start < x.length; start += columns) {
    for (let j = 0; j < columns; j++) {
      sums[j] = (sums[j] as number) + of(x[start + j] as number, j);
    }
  }
  return sums;
}

function centred(x: Float32Array, mean: Float64Array): Float64Array {
  return Float64Array.from(x, (value, i) => Math.fround(value - (mean[i % mean.length] as number)));
}

/** Directions at their lengths, the rows around their own mean, and how far that is from the mean before. */
function stacked(
  before: Components,
  x: Float32Array,
  { columns, count }: { columns: number; count: number },
): Float64Array {
  const { directions, singularValues, mean } = before;
  const rows = x.length / columns;
  const own = sumOfColumns(x, columns, (value) => value).map((sum) => Math.fround(sum / rows));
  const out = new Float64Array(directions.length + x.length + columns);
  for (let i = 0; i < directions.length; i++) {
    out[i] = (directions[i] as number) * (singularValues[Math.floor(i / columns)] as number);
  }
  out.set(centred(x, own), directions.length);
  const factor = Math.sqrt((count / (count + rows)) * rows);
  const last = directions.length + x.length;
  for (let j = 0; j < columns; j++) {
    out[last + j] = factor * ((mean[j] as number) - (own[j] as number));
  }
  return out;
}

/** Gives a direction the sign that makes its largest number positive. */
function turnUp(direction: Float64Array): void {
  let largest = 0;
  for (const value of direction) if (Math.abs(value) > Math.abs(largest)) largest = value;
  if (largest >= 0) return;
  for (let i = 0; i < direction.length; i++) direction[i] = -(direction[i] as number);
}
