/** What two adapters' numbers say of mixing and merging them. */
import { t } from "@vscode/l10n";
import type { Advice } from "./advice.ts";
import type { ComparisonTotals, ModulePair } from "./compare.ts";

/** From where on something is said. */
const comparisonThresholds = {
  /** Cosine of all changes as one vector. */
  same: 0.95,
  /** ‖ΔA + ΔB‖ / (‖ΔA‖ + ‖ΔB‖); 0.71 is that of two that do not meet. */
  kept: 0.5,
  /** Share of opposite signs among entries that TIES keeps of both; 0.5 is chance. */
  conflicts: 0.6,
};

export function comparisonAdvice(totals: ComparisonTotals, pairs: readonly ModulePair[]): Advice[] {
  return [sameness(totals), cancelling(totals, pairs)].filter((each) => each !== null);
}

function sameness({ cosine }: ComparisonTotals): Advice | null {
  if (cosine === null || cosine < comparisonThresholds.same) return null;
  return {
    kind: "nearlySame",
    level: "info",
    text: t(
      "The two change nearly the same: the cosine of their changes is {0}. Mixed, they act as one of twice the weight.",
      cosine.toFixed(2),
    ),
    numbers: { cosine },
    modules: [],
  };
}

function cancelling(
  { kept, trimmedConflicts }: ComparisonTotals,
  pairs: readonly ModulePair[],
): Advice | null {
  const worst = pairs
    .filter(({ cosine }) => (cosine ?? 0) < 0)
    .toSorted((a, b) => (a.cosine ?? 0) - (b.cosine ?? 0))
    .slice(0, 10)
    .map(({ module }) => module);
  if (kept !== null && kept < comparisonThresholds.kept) {
    return {
      kind: "conflict",
      level: "warning",
      text: t(
        "The two work against each other: added, {0} % of their norms is left.",
        Math.round(100 * kept),
      ),
      numbers: { kept },
      modules: worst,
    };
  }
  if (trimmedConflicts === null || trimmedConflicts < comparisonThresholds.conflicts) return null;
  return {
    kind: "conflict",
    level: "info",
    text: t(
      "Where both change most, {0} % of the signs are opposite: merging with TIES drops one of the two there.",
      Math.round(100 * trimmedConflicts),
    ),
    numbers: { trimmedConflicts },
    modules: worst,
  };
}
