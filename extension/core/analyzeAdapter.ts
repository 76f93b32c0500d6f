/** An adapter's folder in numbers: opens it and its base, loaded or not, and has them computed. */
import { t } from "@vscode/l10n";
import { type AdapterNumbers, analyze } from "./analysis/analyze.ts";
import { compare, type ModulePair } from "./analysis/compare.ts";
import { findIntruders, type ModuleIntruders } from "./analysis/intruders.ts";
import { asGraftError, badRequest, throwIfAborted, unsupported } from "./base/errors.ts";
import { checkReport } from "./bindReport.ts";
import { describeBase } from "./baseModel.ts";
import type { OnProgress } from "./base/progress.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { findBaseFolder } from "./checkpoint/findBase.ts";
import { isExport } from "./onnxExport/findExport.ts";
import { intruderOptions } from "./peft/convert/intruders.ts";
import { methodOf } from "./peft/index.ts";
import type { Method, MethodBase } from "./peft/method.ts";
import { openModel } from "./precision.ts";
import { taskWish } from "./taskHead.ts";

export interface AnalysisRequest {
  /** The adapter's folder. */
  readonly path: string;
  /** The base's folder; where the adapter's config leads when absent; null goes without. */
  readonly base?: string | null | undefined;
  readonly only?: readonly string[] | undefined;
  readonly thorough?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A base that is looked at and not loaded. */
export interface SeenBase {
  readonly checkpoint: BaseCheckpoint;
  readonly described: MethodBase;
}

/** What an analysis works on. */
export interface AnalysisPlace {
  readonly checkpoint: AdapterCheckpoint;
  readonly method: Method;
  readonly base: SeenBase | null;
  /** Why there is no base; a sentence. */
  readonly baseMissing?: string;
}

/**
 * Opens an adapter and its base from headers alone.
 * @throws not-found or bad-file; of a base only where it was named
 */
export async function openAnalysis({
  path,
  base: named,
  signal,
}: AnalysisRequest): Promise<AnalysisPlace> {
  const checkpoint = await openAdapterCheckpoint(path, signal);
  const method = methodOf(checkpoint.config);
  method.check(checkpoint.config);
  const opened = { checkpoint, method };
  if (named === null) return { ...opened, base: null, baseMissing: t("No base was asked for.") };
  const folder = named ?? (await findBaseFolder(checkpoint));
  if (folder === null) return { ...opened, base: null, baseMissing: missing(checkpoint) };
  try {
    return { ...opened, base: await seeBase(folder, { forAdapter: checkpoint.dir, signal }) };
  } catch (error) {
    throwIfAborted(signal);
    if (named !== undefined) throw error;
    return { ...opened, base: null, baseMissing: asGraftError(error).message };
  }
}

function missing({ config: { baseName } }: AdapterCheckpoint): string {
  return baseName
    ? t("The adapter's base, {0}, is not on this machine.", baseName)
    : t("The adapter's config names no base.");
}

/** Opens a base to look at its weights; nothing is loaded. */
async function seeBase(
  folder: string,
  { forAdapter, signal }: { forAdapter: string; signal?: AbortSignal | undefined },
): Promise<SeenBase> {
  if (await isExport(folder)) {
    throw unsupported(
      t("{0} is an ONNX export, whose weights are not read one by one", folder),
      t("Name the folder of its Hugging Face checkpoint."),
    );
  }
  const wish = await taskWish(forAdapter, {});
  const { checkpoint } = await openModel(folder, signal, wish);
  return { checkpoint, described: describeBase(checkpoint) };
}

/** Computes what the place's adapter changes. @throws misfit when it does not fit the base */
export async function analyzeAdapter(
  { checkpoint, method, base }: AnalysisPlace,
  { only, thorough, onProgress, signal }: Omit<AnalysisRequest, "path" | "base">,
): Promise<AdapterNumbers> {
  if (base) refuseMisfit({ checkpoint, method }, base);
  const at = { checkpoint, method, base: base?.described ?? null };
  return analyze({ ...at, only, thorough, onProgress, signal });
}

/** @throws misfit when nothing of an adapter has a place in a base */
function refuseMisfit(
  { checkpoint, method }: Pick<AnalysisPlace, "checkpoint" | "method">,
  { described }: SeenBase,
): void {
  const report = method.bind(checkpoint, described);
  checkReport(checkpoint, report, { base: described, allowPartial: true });
}

/** Both adapters on one base: the one that is named, else where the first's config leads, else the second's. */
export async function openComparison({
  a,
  b,
  base,
  signal,
}: {
  a: string;
  b: string;
  base?: string | null | undefined;
  signal?: AbortSignal | undefined;
}): Promise<{ a: AnalysisPlace; b: AnalysisPlace }> {
  const first = await openAnalysis({ path: a, base, signal });
  const named = first.base?.checkpoint.dir ?? base;
  const second = await openAnalysis({ path: b, base: named, signal });
  if (first.base || !second.base) return { a: first, b: second };
  const folder = second.base.checkpoint.dir;
  return { a: await openAnalysis({ path: a, base: folder, signal }), b: second };
}

/** Compares what the two adapters change. @throws misfit when one does not fit the base */
export async function compareAdapters(
  { a, b }: { a: AnalysisPlace; b: AnalysisPlace },
  { only, onProgress, signal }: Omit<AnalysisRequest, "path" | "base" | "thorough">,
): Promise<ModulePair[]> {
  const { base } = a;
  if (base) for (const place of [a, b]) refuseMisfit(place, base);
  return compare({ a, b, base: base?.described ?? null, only, onProgress, signal });
}

/** @throws bad-request without a base: intruders are told from its directions */
export async function intrudersOfAdapter(
  { checkpoint, method, base, baseMissing }: AnalysisPlace,
  options: Omit<AnalysisRequest, "path" | "base" | "thorough"> & {
    topK?: number | undefined;
    threshold?: number | undefined;
  },
): Promise<{ topK: number; threshold: number; modules: ModuleIntruders[] }> {
  const { topK, threshold } = intruderOptions(options);
  if (!base) {
    throw badRequest(
      t("Intruder dimensions are told from the base's weights. {0}", baseMissing ?? ""),
    );
  }
  refuseMisfit({ checkpoint, method }, base);
  const at = { checkpoint, method, base: base.described, topK, threshold };
  return { topK, threshold, modules: await findIntruders({ ...options, ...at }) };
}
