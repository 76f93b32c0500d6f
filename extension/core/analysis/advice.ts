/** Sentences that a number backs. Thresholds are cautious and stand in docs/analysis.md. */
import { t } from "@vscode/l10n";
import type { AdapterNumbers, ModuleNumbers } from "./analyze.ts";
import type { AnalysisTotals, PlacedModule } from "./totals.ts";

export interface Advice {
  kind:
    | "notFinite"
    | "changesNothing"
    | "zeroModules"
    | "resize"
    | "dominantRow"
    | "dominantColumn"
    | "large"
    | "tiny"
    | "scaling"
    | "conflict"
    | "nearlySame";
  level: "error" | "warning" | "info";
  text: string;
  numbers: Record<string, number>;
  modules: string[];
  rank?: number;
}

/** From where on something is said. */
const thresholds = {
  /** Energy that "most of it" means, and that a resized adapter keeps at least: in all, and in each module. */
  energy: 0.9,
  kept: 0.97,
  keptOfEach: 0.9,
  /** Share of ‖ΔW‖² of one layer among at least four, of one kind of modules among at least three. */
  row: 0.5,
  column: 0.6,
  /** ‖ΔW‖ / ‖W‖: of a module, and of all. */
  large: 1,
  tiny: 1e-4,
  /** Scalings of LoRA beyond which people seldom train. */
  scaling: [0.01, 16] as const,
};

const mostModules = 10;

interface Analyzed {
  readonly peftType: string;
  readonly modules: readonly PlacedModule[];
  readonly totals: AnalysisTotals;
  readonly virtualTokens?: AdapterNumbers["virtualTokens"];
  /** False where only some modules were looked at: then nothing is said of the whole. */
  readonly isWhole: boolean;
}

/** What matters most first. */
export function adviceOn(at: Analyzed): Advice[] {
  const all = [notFinite(at), nothing(at), zero(at), large(at), scaling(at), resize(at)];
  return [...all, tiny(at), dominantRow(at), dominantColumn(at)].filter((each) => each !== null);
}

function notFinite({ modules, virtualTokens }: Analyzed): Advice | null {
  const broken = modules.filter((each) => each.notFinite > 0);
  const count = broken.reduce((sum, each) => sum + each.notFinite, 0);
  const tokens = virtualTokens?.norms.filter((norm) => !Number.isFinite(norm)).length ?? 0;
  if (count + tokens === 0) return null;
  return {
    kind: "notFinite",
    level: "error",
    text: t(
      "{0} numbers are NaN or infinite in {1}: the training diverged or the file is damaged. Answers will be broken.",
      count + tokens,
      moduleCount(broken.length),
    ),
    numbers: { notFinite: count + tokens, modules: broken.length },
    modules: pathsOf(broken.toSorted((a, b) => b.notFinite - a.notFinite)),
  };
}

function isZero({ norm, biasNorm }: ModuleNumbers): boolean {
  return norm === 0 && (biasNorm ?? 0) === 0;
}

function moduleCount(count: number): string {
  return count === 1 ? t("1 module") : t("{0} modules", count);
}

function nothing({ modules, virtualTokens, isWhole }: Analyzed): Advice | null {
  if (!isWhole || modules.length === 0 || virtualTokens || !modules.every(isZero)) return null;
  return {
    kind: "changesNothing",
    level: "error",
    text: t(
      "The adapter changes nothing: its update is zero in all {0} modules. It was not trained, or saved before it was.",
      modules.length,
    ),
    numbers: { modules: modules.length },
    modules: [],
  };
}

function zero({ modules }: Analyzed): Advice | null {
  const zeros = modules.filter(isZero);
  if (zeros.length === 0 || zeros.length === modules.length) return null;
  return {
    kind: "zeroModules",
    level: "warning",
    text: t(
      "{0} of {1} modules change nothing: their update is zero.",
      zeros.length,
      modules.length,
    ),
    numbers: { zero: zeros.length, modules: modules.length },
    modules: pathsOf(zeros),
  };
}

function large({ modules }: Analyzed): Advice | null {
  const own = modules.filter(
    ({ relative, kind }) => kind === "matrix" && (relative ?? 0) >= thresholds.large,
  );
  const [worst] = own.toSorted(byRelative);
  if (!worst) return null;
  return {
    kind: "large",
    level: "warning",
    text: t(
      "In {0} the change is as large as the weight itself or larger, up to {1} times: answers may lose what the base knows.",
      moduleCount(own.length),
      (worst.relative ?? 0).toPrecision(2),
    ),
    numbers: { modules: own.length, largest: worst.relative ?? 0 },
    modules: pathsOf(own.toSorted(byRelative)),
  };
}

function byRelative(a: ModuleNumbers, b: ModuleNumbers): number {
  return (b.relative ?? 0) - (a.relative ?? 0);
}

function scaling({ peftType, modules }: Analyzed): Advice | null {
  if (peftType !== "LORA") return null;
  const [low, high] = thresholds.scaling;
  const own = modules.filter(
    (each) =>
      each.scaling !== null && each.scaling !== 0 && (each.scaling < low || each.scaling > high),
  );
  const [first] = own;
  if (!first || first.scaling === null) return null;
  return {
    kind: "scaling",
    level: "info",
    text: t(
      "The scaling is {0} in {1} (alpha {2}, rank {3}); most LoRA are trained between {4} and {5}.",
      first.scaling.toPrecision(3),
      moduleCount(own.length),
      first.alpha ?? "?",
      first.rank ?? "?",
      low,
      high,
    ),
    numbers: { scaling: first.scaling, modules: own.length },
    modules: pathsOf(own),
  };
}

/** A LoRA much of whose rank holds little: the next lower power of two that keeps nearly all. */
function resize({ peftType, modules, totals, isWhole }: Analyzed): Advice | null {
  const rank = totals.ranks?.[1] ?? 0;
  const cut = modules.flatMap(({ spectrum, norm }) =>
    spectrum?.isWhole && norm !== null ? [{ energy: spectrum.energy, weight: norm ** 2 }] : [],
  );
  if (!isWhole || peftType !== "LORA" || cut.length === 0 || cut.length < totals.measured)
    return null;
  if (modules.some(({ spectrum }) => (spectrum?.count ?? 0) > rank)) return null;
  const of = (energy: readonly number[], k: number): number => energy[k - 1] ?? 1;
  const total = cut.reduce((sum, { weight }) => sum + weight, 0);
  const shareAt = (k: number): number =>
    cut.reduce((sum, { energy, weight }) => sum + weight * of(energy, k), 0) / total;
  for (let to = 1; to <= rank / 2; to *= 2) {
    const kept = shareAt(to);
    const least = Math.min(...cut.map(({ energy }) => of(energy, to)));
    if (kept < thresholds.kept || least < thresholds.keptOfEach) continue;
    let most = 1;
    while (shareAt(most) < thresholds.energy) most++;
    return {
      kind: "resize",
      level: "info",
      text: t(
        "{0} % of the energy lies in {1} of {2} ranks: resizing to {3} keeps {4} %.",
        Math.floor(100 * shareAt(most)),
        most,
        rank,
        to,
        percent(kept),
      ),
      numbers: { ranks: most, rank, to, kept, least },
      modules: [],
      rank: to,
    };
  }
  return null;
}

function tiny({ totals: { relative }, isWhole }: Analyzed): Advice | null {
  if (!isWhole || relative === null || relative === 0 || relative >= thresholds.tiny) return null;
  return {
    kind: "tiny",
    level: "info",
    text: t(
      "The change is {0} of the weights' norm: answers will hardly differ from the base's.",
      relative.toExponential(1),
    ),
    numbers: { relative },
    modules: [],
  };
}

function dominantRow({ totals, isWhole }: Analyzed): Advice | null {
  const [most] = totals.rowShares.toSorted((a, b) => b.share - a.share);
  const isFew = totals.rowShares.length < 4;
  if (!isWhole || isFew || !most || most.row === "" || most.share < thresholds.row) return null;
  return {
    kind: "dominantRow",
    level: "info",
    text: t(
      "{0} carries {1} % of the change (of the squared norm), among {2} layers.",
      most.row,
      percent(most.share),
      totals.rowShares.length,
    ),
    numbers: { share: most.share, rows: totals.rowShares.length },
    modules: [],
  };
}

function dominantColumn({ totals, isWhole }: Analyzed): Advice | null {
  const [most] = totals.columnShares.toSorted((a, b) => b.share - a.share);
  const isFew = totals.columnShares.length < 3;
  if (!isWhole || isFew || !most || most.share < thresholds.column) return null;
  return {
    kind: "dominantColumn",
    level: "info",
    text: t(
      "{0} carries {1} % of the change (of the squared norm), among {2} kinds of modules.",
      most.column,
      percent(most.share),
      totals.columnShares.length,
    ),
    numbers: { share: most.share, columns: totals.columnShares.length },
    modules: [],
  };
}

/** Never rounded up: what is said to be kept is kept. */
function percent(share: number): string {
  return String(Math.floor(1000 * share) / 10);
}

function pathsOf(modules: readonly ModuleNumbers[]): string[] {
  return modules.slice(0, mostModules).map(({ module }) => module);
}
