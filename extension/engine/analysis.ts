/** What adapters change, in numbers. Results are kept by what they follow from: files, options, language. */
import { stat } from "node:fs/promises";
import { adviceOn } from "../core/analysis/advice.ts";
import { totalsOf } from "../core/analysis/totals.ts";
import { comparisonTotals } from "../core/analysis/compare.ts";
import { comparisonAdvice } from "../core/analysis/comparisonAdvice.ts";
import {
  analyzeAdapter,
  type AnalysisPlace,
  compareAdapters,
  intrudersOfAdapter,
  openAnalysis,
  openComparison,
} from "../core/analyzeAdapter.ts";
import { bindWarnings } from "../core/bindReport.ts";
import { methodLabel } from "../core/checkpoint/adapterConfig.ts";
import { keptResult } from "../core/keptResults.ts";
import { identityOf } from "../core/safetensors/checksums.ts";
import type {
  AdapterAnalysis,
  AdapterComparison,
  AnalysisBase,
  AnalysisContract,
  AnalyzeParams,
  CompareParams,
  ConfigDifference,
  FindIntrudersParams,
  IntruderAnalysis,
} from "../protocol/analysisContract.ts";
import type { Handlers } from "../protocol/connection.ts";
import type { ProgressEvent } from "../protocol/engineContract.ts";
import type { ConfigField } from "../protocol/reportContract.ts";
import { summarizeAdapter } from "./discover.ts";
import { gridOf, placeInGrid } from "./grid.ts";
import { configFields } from "./inspect.ts";

/** Changes with what a number means, so that no version shows another's. */
const analysisVersion = 1;

interface Work {
  readonly emit: (event: ProgressEvent) => void;
  readonly signal: AbortSignal;
}

export const analysisHandlers: Handlers<AnalysisContract> = {
  analyzeAdapter: (params, context) => analyzed(params, context),
  findIntruders: (params, context) => intruders(params, context),
  compareAdapters: (params, context) => compared(params, context),
};

/** An adapter in numbers, from before where nothing that they follow from has changed. */
export async function analyzed(
  { path, base, only, thorough, cache }: AnalyzeParams,
  { emit, signal }: Work,
): Promise<AdapterAnalysis> {
  const place = await openAnalysis({ path, base, signal });
  const key = await keyOf("analyze", [place], { only: only?.toSorted(), thorough });
  return keptResult({ folder: cache, key }, async () => {
    const started = performance.now();
    const found = await analyzeAdapter(place, { only, thorough, onProgress: emit, signal });
    const modules = found.modules.map((each) => ({ ...each, ...placeInGrid(each.module) }));
    const totals = totalsOf(modules);
    const { config, notes } = place.checkpoint;
    const { virtualTokens } = found;
    const isWhole = only === undefined;
    const { cost } = found;
    const bytes = place.base?.checkpoint.bytes ?? 0;
    return {
      path: place.checkpoint.dir,
      peftType: config.peftType,
      method: methodLabel(config),
      base: analysisBase(place),
      ...(place.baseMissing !== undefined && { baseMissing: place.baseMissing }),
      grid: gridOf(modules),
      modules,
      totals,
      cost: { ...cost, base: cost.base && { ...cost.base, bytes } },
      ...(virtualTokens && { virtualTokens }),
      advice: adviceOn({ peftType: config.peftType, modules, totals, virtualTokens, isWhole }),
      warnings: [...notes, ...(found.report ? bindWarnings(found.report) : [])],
      seconds: (performance.now() - started) / 1000,
    };
  });
}

/** Intruder dimensions by module, kept like an analysis. */
export async function intruders(
  { path, base, only, topK, threshold, cache }: FindIntrudersParams,
  { emit, signal }: Work,
): Promise<IntruderAnalysis> {
  const place = await openAnalysis({ path, base, signal });
  const key = await keyOf("intruders", [place], { only: only?.toSorted(), topK, threshold });
  return keptResult({ folder: cache, key }, async () => {
    const started = performance.now();
    const options = { only, topK, threshold, onProgress: emit, signal };
    const found = await intrudersOfAdapter(place, options);
    const { dir = "", name = "" } = place.base?.checkpoint ?? {};
    return {
      ...found,
      base: { path: dir, name },
      modules: found.modules.map((each) => ({ ...each, ...placeInGrid(each.module) })),
      intruders: found.modules.reduce((sum, each) => sum + (each.intruders ?? 0), 0),
      seconds: (performance.now() - started) / 1000,
    };
  });
}

/** Two adapters beside each other, kept like an analysis. */
export async function compared(
  { a, b, base, only, cache }: CompareParams,
  { emit, signal }: Work,
): Promise<AdapterComparison> {
  const places = await openComparison({ a, b, base, signal });
  const both = [places.a, places.b];
  const key = await keyOf("compare", both, { only: only?.toSorted() });
  return keptResult({ folder: cache, key }, async () => {
    const started = performance.now();
    const pairs = await compareAdapters(places, { only, onProgress: emit, signal });
    const totals = comparisonTotals(pairs);
    const modules = pairs.map(({ inner: _, size: __, ...pair }) => {
      return { ...pair, ...placeInGrid(pair.module) };
    });
    const { baseMissing } = places.a;
    return {
      a: await summarizeAdapter(places.a.checkpoint.dir, "folder"),
      b: await summarizeAdapter(places.b.checkpoint.dir, "folder"),
      base: analysisBase(places.a),
      ...(baseMissing !== undefined && { baseMissing }),
      config: differencesOf(places.a, places.b),
      grid: gridOf(modules),
      modules,
      totals,
      advice: comparisonAdvice(totals, pairs),
      warnings: [...new Set(both.flatMap(({ checkpoint }) => checkpoint.notes))],
      seconds: (performance.now() - started) / 1000,
    };
  });
}

/** Every field of either config; those that differ first, else in the order of the file. */
function differencesOf(a: AnalysisPlace, b: AnalysisPlace): ConfigDifference[] {
  const [ofA, ofB] = [a, b].map((place) => {
    const fields = configFields(place.checkpoint, place.method);
    return new Map(fields.map((each) => [each.field, each]));
  }) as [Map<string, ConfigField>, Map<string, ConfigField>];
  const names = [...new Set([...ofA.keys(), ...ofB.keys()])];
  const rows = names.map((field): ConfigDifference => {
    const [one, other] = [ofA.get(field), ofB.get(field)];
    return {
      field,
      a: one ? { value: one.value } : null,
      b: other ? { value: other.value } : null,
      differs: JSON.stringify(sorted(one?.value)) !== JSON.stringify(sorted(other?.value)),
      meaning: (one ?? other)?.meaning ?? "",
    };
  });
  return [...rows.filter(({ differs }) => differs), ...rows.filter(({ differs }) => !differs)];
}

/** PEFT writes sets of names in no order. */
function sorted(value: unknown): unknown {
  return Array.isArray(value) && value.every((each) => typeof each === "string")
    ? value.toSorted()
    : (value ?? null);
}

function analysisBase({ base }: AnalysisPlace): AnalysisBase {
  if (!base) return null;
  const { dir, name, parameters } = base.checkpoint;
  return { path: dir, name, parameters };
}

/** Everything that a result follows from. A base's weights are known by size and time alone. */
async function keyOf(
  call: string,
  places: readonly AnalysisPlace[],
  options: object,
): Promise<unknown> {
  const adapters = await Promise.all(
    places.map(async ({ checkpoint, baseMissing }) => ({
      config: checkpoint.config.text,
      weights: await identityOf(checkpoint.weights),
      path: checkpoint.dir,
      baseMissing,
    })),
  );
  const base = places.find((place) => place.base)?.base?.checkpoint;
  const files = await Promise.all(
    (base?.files ?? []).map(async ({ file, size }) => [file, size, (await stat(file)).mtimeMs]),
  );
  // Sentences are in the editor's language.
  const language = process.env["GRAFT_L10N"] ?? "";
  const weights = base && { dir: base.dir, config: base.config.raw, files };
  return { analysisVersion, call, adapters, weights, options, language };
}
