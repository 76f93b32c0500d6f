import { t } from "@vscode/l10n";
import { bitsOf, type Dtype } from "../base/dtype.ts";
import { hasWholeBytes, isWhole, toNumbers } from "../base/elements.ts";
import { unsupported } from "../base/errors.ts";
import type { OnProgress } from "../base/progress.ts";
import { elementCount } from "../base/shape.ts";
import { edgesOf, fill, type Histogram } from "./histogram.ts";
import type { TensorEntry } from "./header.ts";
import { eachChunk } from "./read.ts";

/**
 * What a tensor's values are like. All but the counts are of its finite values, and null where it
 * has none; `std` is the population's, as NumPy's `std()`.
 */
export interface TensorStatistics {
  readonly count: number;
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  readonly std: number | null;
  /** L2 norm. */
  readonly norm: number | null;
  readonly zeros: number;
  readonly nan: number;
  readonly infinite: number;
  /** Null where no value is finite, or their range is more than a double holds. */
  readonly histogram: Histogram | null;
}

interface Work {
  onProgress?: OnProgress | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Reads a tensor piece by piece, once for types of 16 bits and fewer, twice for wider ones; memory
 * stays the same whatever its size.
 * @throws unsupported for types that pack several elements into a byte
 */
export async function tensorStatistics(
  file: string,
  tensor: TensorEntry,
  work: Work = {},
): Promise<TensorStatistics> {
  refusePacked(tensor);
  const count = elementCount(tensor.shape);
  const read = bitsOf(tensor.dtype) <= 16 ? ofPatterns : ofNumbers;
  return { count, ...(await read(file, tensor, work)) };
}

/** @throws unsupported, saying what can be seen of such a tensor */
export function refusePacked({ name, dtype }: TensorEntry): void {
  if (hasWholeBytes(dtype)) return;
  throw unsupported(
    t("{0}: {1} packs several elements into a byte, and Graft does not unpack them", name, dtype),
    t("Its dtype, shape, size and place in the file are in the table."),
  );
}

type Result = Omit<TensorStatistics, "count">;

/** Few patterns: count each, then know everything exactly. */
async function ofPatterns(file: string, tensor: TensorEntry, work: Work): Promise<Result> {
  const bits = bitsOf(tensor.dtype);
  const counts = new Float64Array(2 ** bits);
  await eachChunk(file, tensor, {
    signal: work.signal,
    use: (bytes, done) => {
      const patterns = bits === 8 ? bytes : new Uint16Array(bytes.buffer, 0, bytes.length / 2);
      for (let i = 0; i < patterns.length; i++) (counts[patterns[i] as number] as number)++;
      report(work, done, tensor.byteLength);
    },
  });
  const all = bits === 8 ? new Uint8Array(256) : new Uint16Array(65536);
  for (let i = 0; i < all.length; i++) all[i] = i;
  const values = toNumbers(new Uint8Array(all.buffer), tensor.dtype);
  const moments = new Moments();
  moments.add(values, counts);
  const histogram = histogramOf(moments, tensor.dtype);
  if (histogram) fill(histogram, values, counts);
  return { ...moments.result(), histogram };
}

/** Many patterns: range and moments first, then what falls into which bar. */
async function ofNumbers(file: string, tensor: TensorEntry, work: Work): Promise<Result> {
  const moments = new Moments();
  const total = 2 * tensor.byteLength;
  await eachChunk(file, tensor, {
    signal: work.signal,
    use: (bytes, done) => {
      moments.add(toNumbers(bytes, tensor.dtype));
      report(work, done, total);
    },
  });
  const histogram = histogramOf(moments, tensor.dtype);
  if (histogram) {
    await eachChunk(file, tensor, {
      signal: work.signal,
      use: (bytes, done) => {
        fill(histogram, toNumbers(bytes, tensor.dtype));
        report(work, tensor.byteLength + done, total);
      },
    });
  }
  return { ...moments.result(), histogram };
}

function report({ onProgress }: Work, done: number, total: number): void {
  onProgress?.({ step: t("Reading values"), done, total, unit: "bytes" });
}

function histogramOf({ min, max }: Moments, dtype: Dtype): Histogram | null {
  const edges = edgesOf(min, max, isWhole(dtype));
  return edges && { edges, counts: Array.from({ length: edges.length - 1 }, () => 0) };
}

/** Running mean and squares of deviations, piece by piece (Chan, Golub and LeVeque 1979). */
class Moments {
  min = Infinity;
  max = -Infinity;
  private finite = 0;
  private mean = 0;
  private deviations = 0;
  private squares = 0;
  private zeros = 0;
  private nan = 0;
  private infinite = 0;

  /** @param times how often each value occurs; once where absent */
  add(values: ArrayLike<number>, times?: ArrayLike<number>): void {
    let [n, sum] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as number;
      const weight = times === undefined ? 1 : (times[i] as number);
      if (weight === 0) continue;
      if (!Number.isFinite(value)) {
        if (Number.isNaN(value)) this.nan += weight;
        else this.infinite += weight;
        continue;
      }
      n += weight;
      sum += weight * value;
      this.squares += weight * value * value;
      if (value === 0) this.zeros += weight;
      if (value < this.min) this.min = value;
      if (value > this.max) this.max = value;
    }
    if (n > 0) this.join(n, sum / n, deviationsFrom(sum / n, values, times));
  }

  private join(n: number, mean: number, deviations: number): void {
    const all = this.finite + n;
    const apart = mean - this.mean;
    this.mean += (apart * n) / all;
    this.deviations += deviations + (apart * apart * this.finite * n) / all;
    this.finite = all;
  }

  result(): Omit<Result, "histogram"> {
    const { zeros, nan, infinite } = this;
    if (this.finite === 0) {
      return { min: null, max: null, mean: null, std: null, norm: null, zeros, nan, infinite };
    }
    return {
      min: this.min,
      max: this.max,
      mean: finiteOrNull(this.mean),
      std: finiteOrNull(Math.sqrt(this.deviations / this.finite)),
      norm: finiteOrNull(Math.sqrt(this.squares)),
      ...{ zeros, nan, infinite },
    };
  }
}

/** Sums of the largest doubles overflow; then there is no figure to show. */
function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function deviationsFrom(
  mean: number,
  values: ArrayLike<number>,
  times: ArrayLike<number> | undefined,
): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    const weight = times === undefined ? 1 : (times[i] as number);
    if (weight > 0 && Number.isFinite(value)) sum += weight * (value - mean) * (value - mean);
  }
  return sum;
}
