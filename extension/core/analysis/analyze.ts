/** Every module of an adapter in numbers, one in memory at a time; docs/analysis.md says what each means. */
import { t } from "@vscode/l10n";
import { pause } from "../base/pause.ts";
import type { OnProgress } from "../base/progress.ts";
import type { AdapterCheckpoint } from "../checkpoint/adapterCheckpoint.ts";
import { weightName } from "../checkpoint/modules.ts";
import type { AdapterEffects } from "../peft/effect.ts";
import type { BindReport, Method, MethodBase, ModuleSummary } from "../peft/method.ts";
import { baseFlops, type CostPart, CostSum } from "./cost.ts";
import {
  type AnalyzedKind,
  type ModuleDelta,
  moduleAt,
  moduleDelta,
  squares,
} from "./moduleDelta.ts";
import { openForAnalysis } from "./openForAnalysis.ts";
import { countNotFinite, measure, normOf, type Spectrum } from "./spectrum.ts";

export interface AnalyzeAt {
  readonly checkpoint: AdapterCheckpoint;
  readonly method: Method;
  /** Null goes without. */
  readonly base: MethodBase | null;
  /** Paths of modules; all when absent. */
  readonly only?: readonly string[] | undefined;
  /** Decompose large updates that are not of low rank, too: seconds a module. */
  readonly thorough?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ModuleNumbers {
  module: string;
  kind: AnalyzedKind;
  parameters: number;
  rank: number | null;
  alpha: number | null;
  scaling: number | null;
  shape: [number, number] | null;
  norm: number | null;
  baseNorm: number | null;
  relative: number | null;
  spectrum: Spectrum | null;
  biasNorm: number | null;
  notFinite: number;
  reason?: string;
}

export interface VirtualTokens {
  what: "embeddings" | "keysAndValues";
  count: number;
  norms: number[];
  baseMean: number | null;
}

export interface AdapterNumbers {
  modules: ModuleNumbers[];
  cost: {
    parts: CostPart[];
    bytes: number;
    flops: number;
    base: { flops: number } | null;
    extraTokens: number;
  };
  virtualTokens?: VirtualTokens;
  /** What of the adapter has a place in the base; null without one. */
  report: BindReport | null;
}

/** Numbers of an adapter, module by module; a module whose numbers cannot be told says why in `reason`. */
export async function analyze(at: AnalyzeAt): Promise<AdapterNumbers> {
  const { checkpoint, method, onProgress, signal } = at;
  const opened = await openForAnalysis(at);
  const { base, hasWeights, rest, report } = opened;
  const scales = new Map(method.summarize(checkpoint).map((each) => [each.path, each]));
  const cost = new CostSum(base);
  if (rest) cost.addRest(rest);
  const chosen = opened.modules.filter(({ path }) => at.only?.includes(path) ?? true);
  const modules: ModuleNumbers[] = [];
  for (const [done, module] of chosen.entries()) {
    onProgress?.({ step: t("Analysing modules"), done, total: chosen.length, unit: "items" });
    await pause(signal);
    const delta = await moduleDelta(module, { base, hasWeights, signal });
    if (delta.effects) {
      cost.addModule(moduleAt(module.path, base)?.path ?? module.path, delta.effects);
    }
    const scale = scales.get(module.path);
    modules.push(await numbersOf(module, delta, { ...at, scale }));
  }
  const parts = cost.parts();
  const virtual = rest && (await virtualTokensOf(rest, hasWeights ? base : null));
  return {
    modules,
    cost: {
      parts,
      bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
      flops: parts.reduce((sum, { flops }) => sum + flops, 0),
      base: hasWeights ? { flops: baseFlops(base) } : null,
      extraTokens: rest?.virtualTokens?.count ?? 0,
    },
    ...(virtual && { virtualTokens: virtual }),
    report,
  };
}

async function numbersOf(
  { path: module, parameters }: { path: string; parameters: number },
  delta: ModuleDelta,
  { scale, thorough }: AnalyzeAt & { scale: ModuleSummary | undefined },
): Promise<ModuleNumbers> {
  const notFinite = delta.updates.reduce((sum, update) => sum + countNotFinite(update), 0);
  const isKnown = delta.updates.length > 0 && notFinite === 0;
  const [update] = delta.updates;
  const isMatrix = isKnown && (delta.kind === "matrix" || delta.kind === "table");
  const measured =
    isMatrix && update
      ? measure(update, { thorough: thorough ?? false })
      : { norm: isKnown ? wholeNorm(delta) : null, spectrum: null };
  const { norm, spectrum } = measured;
  const weights = await delta.weights();
  const baseNorm = weights && Math.sqrt(weights.reduce((sum, each) => sum + squares(each), 0));
  const reason =
    delta.reason ?? (isMatrix ? whyNoSpectrum(norm, spectrum) : notFiniteReason(notFinite));
  return {
    module,
    kind: delta.kind,
    parameters,
    rank: scale?.rank ?? null,
    alpha: scale?.alpha ?? null,
    scaling: scale?.scaling ?? null,
    shape: delta.shape,
    norm,
    baseNorm,
    relative: norm === null || !baseNorm ? null : norm / baseNorm,
    spectrum,
    biasNorm: delta.biasNorm,
    notFinite,
    ...(reason !== undefined && { reason }),
  };
}

function wholeNorm({ updates }: ModuleDelta): number {
  return Math.sqrt(squares(updates.map((update) => normOf(update))));
}

function whyNoSpectrum(norm: number | null, spectrum: Spectrum | null): string | undefined {
  if (spectrum || norm === 0) return undefined;
  return t(
    "The update is large and not of low rank: its spectrum is computed when it is asked for.",
  );
}

function notFiniteReason(count: number): string | undefined {
  return count === 0 ? undefined : t("{0} numbers of the update are NaN or infinite.", count);
}

/** Norms of what stands before the prompt, of the first task. */
async function virtualTokensOf(
  { virtualTokens, cachePrefix, attention }: AdapterEffects,
  base: MethodBase | null,
): Promise<VirtualTokens | null> {
  const [tokens] = virtualTokens?.tasks ?? [];
  if (virtualTokens && tokens) {
    const width = tokens.length / virtualTokens.count;
    const norms = rowNorms(tokens, width);
    const baseMean = base && (await meanRowNorm(base, virtualTokens.path, width));
    return { what: "embeddings", count: virtualTokens.count, norms, baseMean };
  }
  const [prompt] = [...(attention?.values() ?? [])];
  const count = cachePrefix?.count ?? prompt?.count;
  if (count === undefined) return null;
  const sides = cachePrefix
    ? [...cachePrefix.keys, ...cachePrefix.values]
    : [...(attention?.values() ?? [])].flatMap(({ keys, values }) => [keys, values]);
  const { headDim = 1 } = base?.attention ?? {};
  return { what: "keysAndValues", count, norms: tokenNorms(sides, count, headDim), baseMean: null };
}

/** Norms of rows of [rows, width]. */
function rowNorms(values: Float32Array, width: number): number[] {
  return Array.from({ length: values.length / width }, (_, row) =>
    Math.sqrt(squares(values.subarray(row * width, (row + 1) * width))),
  );
}

/** Of each token over several [heads, tokens, dim]. */
function tokenNorms(sides: readonly Float32Array[], count: number, dim: number): number[] {
  const sums = new Float64Array(count);
  for (const side of sides) {
    side.forEach((value, i) => {
      const token = Math.floor(i / dim) % count;
      sums[token] = (sums[token] as number) + value ** 2;
    });
  }
  return Array.from(sums, Math.sqrt);
}

async function meanRowNorm(base: MethodBase, path: string, width: number): Promise<number | null> {
  const module = base.tree.modules.find((each) => each.path === path);
  const table = module && (await base.readTensor(weightName(module)));
  if (!table) return null;
  const norms = rowNorms(table, width);
  return norms.reduce((sum, norm) => sum + norm, 0) / norms.length;
}
