import type { ConvertReport } from "../core/convertAdapter.ts";
import type { ConvertResult } from "../protocol/writeContract.ts";

/** What a conversion did, without a line for each of hundreds of modules. */
export function convertResult({ modules, ...report }: ConvertReport): ConvertResult {
  const share = (lost: number, total: number): number =>
    total === 0 ? 0 : Math.sqrt(lost / total);
  const sum = (of: (module: (typeof modules)[number]) => number): number =>
    modules.reduce((total, module) => total + of(module), 0);
  const ranks = modules.map(({ rank }) => rank);
  const worst = modules
    .map(({ path, lost, total }) => ({ module: path, lost: share(lost, total) }))
    .filter(({ lost }) => lost > 0)
    .sort((a, b) => b.lost - a.lost)
    .slice(0, 5);
  return {
    target: report.target,
    files: [...report.files],
    modules: modules.length,
    ranks: [Math.min(...ranks), Math.max(...ranks)],
    lost: share(
      sum(({ lost }) => lost),
      sum(({ total }) => total),
    ),
    worst,
    warnings: [...report.warnings],
  };
}
