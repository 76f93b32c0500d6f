/** What adapters change, in numbers. Results are kept by what they follow from: files, options, language. */
import { stat } from "node:fs/promises";
import { adviceOn } from "../core/analysis/advice.ts";
import { totalsOf } from "../core/analysis/totals.ts";
import { analyzeAdapter, type AnalysisPlace, openAnalysis } from "../core/analyzeAdapter.ts";
import { methodLabel } from "../core/checkpoint/adapterConfig.ts";
import { keptResult } from "../core/keptResults.ts";
import { identityOf } from "../core/safetensors/checksums.ts";
import type {
  AdapterAnalysis,
  AnalysisBase,
  AnalysisContract,
  AnalyzeParams,
} from "../protocol/analysisContract.ts";
import type { Handlers } from "../protocol/connection.ts";
import { gridOf, placeInGrid } from "./grid.ts";

/** Changes with what a number means, so that no version shows another's. */
const analysisVersion = 1;

type Work = Parameters<Handlers<AnalysisContract>["analyzeAdapter"]>[1];

export const analysisHandlers: Pick<Handlers<AnalysisContract>, "analyzeAdapter"> = {
  analyzeAdapter: (params, context) => analyzed(params, context),
};

/** An adapter in numbers, from before where nothing that they follow from has changed. */
export async function analyzed(
  { path, base, only, thorough, cache }: AnalyzeParams,
  { emit, signal }: Pick<Work, "emit" | "signal">,
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
      warnings: [...notes],
      seconds: (performance.now() - started) / 1000,
    };
  });
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
