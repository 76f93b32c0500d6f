/** Sums over an adapter's modules. */
import type { ModuleNumbers } from "./analyze.ts";

export interface AnalysisTotals {
  modules: number;
  measured: number;
  parameters: number;
  norm: number | null;
  baseNorm: number | null;
  relative: number | null;
  effectiveRank: number | null;
  ranks: [number, number] | null;
  rowShares: { row: string; share: number }[];
  columnShares: { column: string; share: number }[];
}

/** A module with its place in the picture. */
export type PlacedModule = ModuleNumbers & { row: string; column: string };

/** Norms are roots of sums of squares over the modules that have one. */
export function totalsOf(modules: readonly PlacedModule[]): AnalysisTotals {
  const measured = modules.filter(({ norm }) => norm !== null);
  const norm = measured.length === 0 ? null : rootOfSquares(measured, (each) => each.norm);
  const based = measured.filter(({ baseNorm }) => baseNorm !== null);
  const baseNorm = based.length === 0 ? null : rootOfSquares(based, (each) => each.baseNorm);
  const ranks = modules.flatMap(({ rank }) => rank ?? []);
  return {
    modules: modules.length,
    measured: measured.length,
    parameters: modules.reduce((sum, { parameters }) => sum + parameters, 0),
    norm,
    baseNorm,
    relative: baseNorm ? rootOfSquares(based, (each) => each.norm) / baseNorm : null,
    effectiveRank: meanEffectiveRank(modules),
    ranks: ranks.length === 0 ? null : [Math.min(...ranks), Math.max(...ranks)],
    rowShares: sharesBy(measured, ({ row }) => row).map(([row, share]) => ({ row, share })),
    columnShares: sharesBy(measured, ({ column }) => column).map(([column, share]) => ({
      column,
      share,
    })),
  };
}

function rootOfSquares(
  modules: readonly ModuleNumbers[],
  of: (module: ModuleNumbers) => number | null,
): number {
  return Math.sqrt(modules.reduce((sum, module) => sum + (of(module) ?? 0) ** 2, 0));
}

function meanEffectiveRank(modules: readonly ModuleNumbers[]): number | null {
  let [sum, weight] = [0, 0];
  for (const { spectrum, norm } of modules) {
    if (!spectrum || spectrum.effectiveRank === null || norm === null) continue;
    sum += norm ** 2 * spectrum.effectiveRank;
    weight += norm ** 2;
  }
  return weight === 0 ? null : sum / weight;
}

/** Shares of the sum of squared norms, in order of appearance. */
function sharesBy(
  modules: readonly PlacedModule[],
  keyOf: (module: PlacedModule) => string,
): [string, number][] {
  const sums = new Map<string, number>();
  for (const module of modules) {
    const key = keyOf(module);
    sums.set(key, (sums.get(key) ?? 0) + (module.norm ?? 0) ** 2);
  }
  const total = [...sums.values()].reduce((sum, value) => sum + value, 0);
  return [...sums].map(([key, sum]) => [key, total === 0 ? 0 : sum / total]);
}
