/** Two adapters module by module, one pair in memory at a time. */
import { t } from "@vscode/l10n";
import { pause } from "../base/pause.ts";
import type { OnProgress } from "../base/progress.ts";
import type { AdapterCheckpoint } from "../checkpoint/adapterCheckpoint.ts";
import type { Update } from "../peft/convert/factorise.ts";
import type { Method, MethodBase, OpenedModule } from "../peft/method.ts";
import { moduleAt, type ModuleDelta, moduleDelta, squares } from "./moduleDelta.ts";
import { openForAnalysis, type OpenedForAnalysis } from "./openForAnalysis.ts";
import { density, innerProduct, overlapOf, signConflicts, sizeOf, subspacesOf } from "./pair.ts";
import { countNotFinite, normOf } from "./spectrum.ts";

export interface CompareAt {
  readonly a: ComparedAdapter;
  readonly b: ComparedAdapter;
  /** Null goes without. */
  readonly base: MethodBase | null;
  readonly only?: readonly string[] | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ComparedAdapter {
  readonly checkpoint: AdapterCheckpoint;
  readonly method: Method;
}

export interface ModulePair {
  module: string;
  changedBy: "both" | "a" | "b";
  normA: number | null;
  normB: number | null;
  /** ⟨ΔA, ΔB⟩. */
  inner: number | null;
  cosine: number | null;
  overlap: { left: number[]; right: number[]; shape: [number, number] } | null;
  merge: MergeForecast | null;
  /** Entries of the weight. */
  size: number;
  reason?: string;
}

export interface MergeForecast {
  norm: number;
  kept: number;
  signConflicts: number | null;
  trimmedConflicts: number | null;
  density: number;
  sampled: number;
}

/** What two adapters do to each module that either changes. */
export async function compare(at: CompareAt): Promise<ModulePair[]> {
  const { base, only, onProgress, signal } = at;
  const [a, b] = [
    await openForAnalysis({ ...at.a, base, signal }),
    await openForAnalysis({ ...at.b, base, signal }),
  ];
  const [ofA, ofB] = [byPath(a), byPath(b)];
  const paths = [...new Set([...ofA.keys(), ...ofB.keys()])];
  const chosen = paths.filter((path) => only?.includes(path) ?? true);
  const pairs: ModulePair[] = [];
  for (const [done, path] of chosen.entries()) {
    onProgress?.({ step: t("Comparing modules"), done, total: chosen.length, unit: "items" });
    await pause(signal);
    const deltas = {
      a: await deltaOf(ofA.get(path), a, signal),
      b: await deltaOf(ofB.get(path), b, signal),
    };
    pairs.push(pairOf(path, deltas));
  }
  return pairs;
}

function byPath({ modules, base }: OpenedForAnalysis): Map<string, OpenedModule> {
  return new Map(modules.map((each) => [moduleAt(each.path, base)?.path ?? each.path, each]));
}

async function deltaOf(
  opened: OpenedModule | undefined,
  { base, hasWeights }: OpenedForAnalysis,
  signal: AbortSignal | undefined,
): Promise<ModuleDelta | null> {
  return opened ? moduleDelta(opened, { base, hasWeights, signal }) : null;
}

/** An update that numbers can be had of, or why not. */
interface Side {
  readonly updates: readonly Update[];
  readonly norm: number | null;
  readonly reason?: string | undefined;
}

function sideOf(delta: ModuleDelta | null): Side {
  if (!delta) return { updates: [], norm: 0 };
  const { updates, reason } = delta;
  if (updates.length === 0) return { updates, norm: null, reason };
  if (updates.some((update) => countNotFinite(update) > 0)) {
    return { updates: [], norm: null, reason: t("The update holds NaN or infinite numbers.") };
  }
  return { updates, norm: Math.sqrt(squares(updates.map((update) => normOf(update)))) };
}

function pairOf(
  module: string,
  deltas: { a: ModuleDelta | null; b: ModuleDelta | null },
): ModulePair {
  const [a, b] = [sideOf(deltas.a), sideOf(deltas.b)];
  const changedBy = !deltas.b ? "a" : !deltas.a ? "b" : "both";
  const norms = { normA: a.norm, normB: b.norm };
  const size = sizeIn(a.updates) || sizeIn(b.updates);
  const nothing = { inner: null, cosine: null, overlap: null, merge: null };
  const common = { module, changedBy, ...norms, size } as const;
  const reason = a.reason ?? b.reason;
  if (a.norm === null || b.norm === null) {
    return { ...common, ...nothing, ...(reason !== undefined && { reason }) };
  }
  if (changedBy !== "both") return { ...common, ...nothing, inner: 0 };
  if (!isAlike(a.updates, b.updates)) {
    const text = t("The two change it in different shapes, so they are not compared here.");
    return { ...common, ...nothing, reason: text };
  }
  const inner = a.updates.reduce(
    (sum, update, i) => sum + innerProduct(update, b.updates[i] as Update),
    0,
  );
  const product = a.norm * b.norm;
  const isOne = a.updates.length === 1 && deltas.a?.kind !== "vector";
  const [first, second] = [a.updates[0] as Update, b.updates[0] as Update];
  return {
    ...common,
    inner,
    cosine: product === 0 ? null : Math.max(-1, Math.min(1, inner / product)),
    overlap: product > 0 && isOne ? overlap(first, second) : null,
    merge: product > 0 ? forecast({ normA: a.norm, normB: b.norm, inner }, first, second) : null,
    ...(reason !== undefined && { reason }),
  };
}

function sizeIn(updates: readonly Update[]): number {
  return updates.reduce((sum, update) => {
    const { inputs, out } = sizeOf(update);
    return sum + inputs * out;
  }, 0);
}

function isAlike(a: readonly Update[], b: readonly Update[]): boolean {
  return (
    a.length === b.length &&
    a.every((update, i) => {
      const [x, y] = [sizeOf(update), sizeOf(b[i] as Update)];
      return x.inputs === y.inputs && x.out === y.out;
    })
  );
}

function overlap(a: Update, b: Update): ModulePair["overlap"] {
  const [first, second] = [subspacesOf(a), subspacesOf(b)];
  if (!first || !second) return null;
  const { inputs, out } = sizeOf(a);
  return {
    left: overlapOf(first.left, second.left),
    right: overlapOf(first.right, second.right),
    shape: [inputs, out],
  };
}

/** What adding both at weight 1 would do. */
function forecast(
  { normA, normB, inner }: { normA: number; normB: number; inner: number },
  a: Update,
  b: Update,
): MergeForecast {
  const norm = Math.sqrt(Math.max(0, normA ** 2 + normB ** 2 + 2 * inner));
  const signs = signConflicts(a, b);
  return {
    norm,
    kept: norm / (normA + normB),
    signConflicts: signs.all,
    trimmedConflicts: signs.trimmed,
    density,
    sampled: signs.sampled,
  };
}

export interface ComparisonTotals {
  modules: number;
  both: number;
  onlyA: number;
  onlyB: number;
  normA: number | null;
  normB: number | null;
  cosine: number | null;
  kept: number | null;
  signConflicts: number | null;
  trimmedConflicts: number | null;
  overlap: { left: number; right: number } | null;
}

/** Sums over pairs: norms and products as of one long vector, shares of signs weighted by entries. */
export function comparisonTotals(pairs: readonly ModulePair[]): ComparisonTotals {
  const count = (by: ModulePair["changedBy"]): number =>
    pairs.filter(({ changedBy }) => changedBy === by).length;
  const known = pairs.filter(({ inner }) => inner !== null);
  const [normA, normB] = [
    Math.sqrt(squares(known.map((each) => each.normA ?? 0))),
    Math.sqrt(squares(known.map((each) => each.normB ?? 0))),
  ];
  const inner = known.reduce((sum, each) => sum + (each.inner ?? 0), 0);
  const norm = Math.sqrt(Math.max(0, normA ** 2 + normB ** 2 + 2 * inner));
  const isKnown = known.length > 0;
  const overlaps = pairs.flatMap((each) => each.overlap ?? []);
  const mean = (of: (each: { left: number[]; right: number[] }) => number[]): number =>
    overlaps.reduce((sum, each) => sum + (of(each).at(-1) ?? 0), 0) / overlaps.length;
  return {
    modules: pairs.length,
    both: count("both"),
    onlyA: count("a"),
    onlyB: count("b"),
    normA: isKnown ? normA : null,
    normB: isKnown ? normB : null,
    cosine: normA * normB > 0 ? Math.max(-1, Math.min(1, inner / (normA * normB))) : null,
    kept: normA + normB > 0 ? norm / (normA + normB) : null,
    signConflicts: weightedMean(pairs, ({ merge }) => merge?.signConflicts ?? null),
    trimmedConflicts: weightedMean(pairs, ({ merge }) => merge?.trimmedConflicts ?? null),
    overlap:
      overlaps.length === 0
        ? null
        : { left: mean(({ left }) => left), right: mean(({ right }) => right) },
  };
}

function weightedMean(
  pairs: readonly ModulePair[],
  of: (pair: ModulePair) => number | null,
): number | null {
  let [sum, weight] = [0, 0];
  for (const pair of pairs) {
    const value = of(pair);
    if (value === null) continue;
    sum += value * pair.size;
    weight += pair.size;
  }
  return weight === 0 ? null : sum / weight;
}
