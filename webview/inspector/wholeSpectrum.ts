import type { AdapterAnalysis } from "../../extension/protocol/analysisContract.ts";

export interface ShownSpectrum {
  values: number[];
  energy: number[];
  effectiveRank: number | null;
  stableRank: number | null;
  /** Of how many directions there are. */
  of: number;
  isWhole: boolean;
}

/**
 * The i-th directions of all modules together: σᵢ = √Σ σᵢ², and the share of Σ ‖ΔW‖² that the first
 * k directions of every module hold, which is what a resize of all to rank k would keep.
 */
export function wholeSpectrum({ modules, totals }: AdapterAnalysis): ShownSpectrum | null {
  const known = modules.flatMap(({ spectrum, norm }) =>
    spectrum && norm !== null && norm > 0 ? [{ spectrum, square: norm * norm }] : [],
  );
  if (known.length === 0) return null;
  const length = Math.max(...known.map(({ spectrum }) => spectrum.values.length));
  const all = known.reduce((sum, { square }) => sum + square, 0);
  const values: number[] = [];
  const energy: number[] = [];
  for (let at = 0; at < length; at++) {
    let squares = 0;
    let held = 0;
    for (const { spectrum, square } of known) {
      squares += (spectrum.values[at] ?? 0) ** 2;
      held += (spectrum.energy[at] ?? spectrum.energy.at(-1) ?? 0) * square;
    }
    values.push(Math.sqrt(squares));
    energy.push(held / all);
  }
  return {
    values,
    energy,
    effectiveRank: totals.effectiveRank,
    stableRank: null,
    of: Math.max(...known.map(({ spectrum }) => spectrum.count)),
    isWhole: known.every(({ spectrum }) => spectrum.isWhole),
  };
}
