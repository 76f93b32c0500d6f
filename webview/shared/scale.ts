/**
 * Shades of a heat map and what its legend says. Few distinct values get a step each, so that the
 * legend names them all; many get a ramp between the ends.
 */
export interface ColourScale {
  kind: "steps" | "ramp" | "diverging";
  /** For steps each value once, ascending; otherwise the ends. */
  values: number[];
  /** 0 (weakest) to 1; of a diverging scale −1 to 1. */
  shade(value: number): number;
}

const mostSteps = 6;
/** Where all values are the same, none is weak or strong. */
const onlyShade = 0.55;

/** A scale over these values; `from` is where it begins when that is not the smallest of them. */
export function sequential(
  found: Iterable<number>,
  options: { from?: number; to?: number; hasSteps?: boolean } = {},
): ColourScale {
  const values = [...new Set(found)].filter(Number.isFinite).sort((a, b) => a - b);
  if (options.hasSteps !== false && values.length <= mostSteps) {
    const last = values.length - 1;
    return {
      kind: "steps",
      values,
      shade: (value) => (last <= 0 ? onlyShade : Math.max(0, values.indexOf(value)) / last),
    };
  }
  const low = options.from ?? values[0] ?? 0;
  const high = options.to ?? values.at(-1) ?? 0;
  return {
    kind: "ramp",
    values: [low, high],
    shade: (value) => (high === low ? onlyShade : within((value - low) / (high - low), 0)),
  };
}

/** A scale around zero, for what points to and fro: cosines. */
export function diverging(limit = 1): ColourScale {
  return {
    kind: "diverging",
    values: [-limit, limit],
    shade: (value) => within(value / limit, -1),
  };
}

function within(value: number, lowest: number): number {
  return Number.isNaN(value) ? 0 : Math.min(1, Math.max(lowest, value));
}
