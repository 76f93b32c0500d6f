/** How values are spread: `counts[i]` of them lie from `edges[i]` up to `edges[i + 1]`. */
export interface Histogram {
  readonly edges: number[];
  readonly counts: number[];
}

const bars = 64;

/** Edges as `numpy.histogram` places them; whole numbers of a small range get a bar each. */
export function edgesOf(min: number, max: number, areWhole: boolean): number[] | null {
  const span = max - min;
  if (!Number.isFinite(span)) return null;
  if (areWhole && span < bars) return line(min - 0.5, max + 0.5, span + 1);
  return span === 0 ? line(min - 0.5, max + 0.5, bars) : line(min, max, bars);
}

/** numpy.linspace */
function line(first: number, last: number, parts: number): number[] {
  const step = (last - first) / parts;
  return Array.from({ length: parts + 1 }, (_, i) => (i === parts ? last : i * step + first));
}

/** Adds finite values to their bars, with NumPy's correction where a quotient is rounded. */
export function fill(
  { edges, counts }: Histogram,
  values: ArrayLike<number>,
  times?: ArrayLike<number>,
): void {
  const last = counts.length - 1;
  const first = edges[0] as number;
  const span = (edges[last + 1] as number) - first;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    const weight = times === undefined ? 1 : (times[i] as number);
    if (weight === 0 || !Number.isFinite(value)) continue;
    let at = Math.min(last, Math.floor(((value - first) / span) * counts.length));
    if (value < (edges[at] as number)) at--;
    else if (at < last && value >= (edges[at + 1] as number)) at++;
    (counts[at] as number) += weight;
  }
}
