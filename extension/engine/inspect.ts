import { stat } from "node:fs/promises";
import * as path from "node:path";
import { dtypeLabel } from "../core/base/dtype.ts";
import { elementCount } from "../core/base/shape.ts";
import {
  type AdapterCheckpoint,
  openAdapterCheckpoint,
} from "../core/checkpoint/adapterCheckpoint.ts";
import { bindReasons } from "../core/bindReasons.ts";
import { bindWarnings, checkReport } from "../core/bindReport.ts";
import type { PeftModel } from "../core/peftModel.ts";
import { methodOf, methods } from "../core/peft/index.ts";
import {
  type BindReport,
  commonFields,
  type Method,
  type MethodBase,
  type ModuleSummary,
} from "../core/peft/method.ts";
import type {
  AdapterReport,
  ConfigField,
  FitReport,
  GridCell,
} from "../protocol/reportContract.ts";
import { adapterFiles, summarizeAdapter } from "./discover.ts";
import { gridOf, placeInGrid } from "./grid.ts";
import { problemIn } from "./problemIn.ts";

/** Everything that a folder's files tell of an adapter, and its fit on a loaded base. */
export async function inspectAdapter(folder: string, model?: PeftModel): Promise<AdapterReport> {
  const adapter = await openAdapterCheckpoint(folder);
  const { config, weights } = adapter;
  const summary = await summarizeAdapter(adapter.dir, "folder");
  const method = methods.find((known) => known.peftType === config.peftType);
  const modules =
    summary.problem === undefined && method ? method.summarize(adapter) : storedModules(adapter);
  const dtypes = [...new Set(weights.tensors.map(({ dtype }) => dtypeLabel(dtype)))];
  const [first] = modules;
  const isUniform = modules.every(
    ({ scaling, alpha }) => scaling === first?.scaling && alpha === first?.alpha,
  );
  return {
    summary,
    scaling: isUniform ? (first?.scaling ?? null) : null,
    alpha: isUniform ? (first?.alpha ?? null) : null,
    config: configFields(adapter, method),
    rawConfig: config.text,
    files: await describeFiles(adapter, dtypes),
    tensors: weights.tensors.map(({ name, dtype, shape, byteLength }) => ({
      name,
      dtype: dtypeLabel(dtype),
      shape: [...shape],
      bytes: byteLength,
    })),
    grid: toGrid(modules),
    totals: {
      parameters: summary.parameters,
      tensors: weights.tensors.length,
      bytes: weights.size,
      modules: modules.length,
      dtypes,
    },
    fit: model ? describeFit(adapter, model) : undefined,
    warnings: summary.problem === undefined ? [] : [summary.problem],
  };
}

/** Of many adapters, a few at a time: each holds files open. */
export async function checkFits(
  folders: readonly string[],
  model: PeftModel,
): Promise<FitReport[]> {
  const reports: FitReport[] = [];
  for (let from = 0; from < folders.length; from += 16) {
    const part = folders.slice(from, from + 16).map((folder) => checkFit(folder, model));
    reports.push(...(await Promise.all(part)));
  }
  return reports;
}

/** Does an adapter fit? Headers alone decide; an error is the reason why not. */
async function checkFit(folder: string, model: PeftModel): Promise<FitReport> {
  try {
    const adapter = await openAdapterCheckpoint(folder);
    const base = model.base.adaptable;
    return fitOf(adapter, methodOf(adapter.config).bind(adapter, base), base);
  } catch (error) {
    return { path: folder, fits: false, bound: 0, total: 0, reason: problemIn(folder, error) };
  }
}

function fitOf(adapter: AdapterCheckpoint, report: BindReport, base: MethodBase): FitReport {
  const counts = { path: adapter.dir, bound: report.bound.length, total: report.total };
  try {
    checkReport(adapter, report, { base, allowPartial: true });
  } catch (error) {
    return { ...counts, fits: false, reason: problemIn(adapter.dir, error) };
  }
  const partial = [...bindWarnings(report), ...bindReasons(adapter, report, base)];
  return { ...counts, fits: true, ...(partial.length > 0 && { reason: partial.join(" ") }) };
}

function describeFit(adapter: AdapterCheckpoint, { base }: PeftModel): AdapterReport["fit"] {
  const { checkpoint, adaptable } = base;
  const parameters = adapter.weights.tensors.reduce(
    (sum, { shape }) => sum + elementCount(shape),
    0,
  );
  const about = {
    baseName: checkpoint.name,
    baseParameters: checkpoint.parameters,
    share: parameters / checkpoint.parameters,
  };
  try {
    const report = methodOf(adapter.config).bind(adapter, adaptable);
    const { unbound, unexpected } = report;
    return {
      ...fitOf(adapter, report, adaptable),
      ...about,
      unbound: [...unbound],
      unexpected: [...unexpected],
    };
  } catch (error) {
    const none = {
      path: adapter.dir,
      fits: false,
      bound: 0,
      total: 0,
      unbound: [],
      unexpected: [],
    };
    return { ...none, ...about, reason: problemIn(adapter.dir, error) };
  }
}

/** Every field of a config with its meaning. */
export function configFields(
  { config }: Pick<AdapterCheckpoint, "config">,
  method: Method | undefined,
): ConfigField[] {
  const known = { ...method?.fields, ...commonFields };
  return Object.entries(config.raw).map(([field, value]) => {
    const info = known[field];
    const changed = info === undefined || JSON.stringify(info.default) !== JSON.stringify(value);
    return { field, value, changed, meaning: info?.meaning ?? "" };
  });
}

async function describeFiles(
  { dir, weights }: AdapterCheckpoint,
  dtypes: string[],
): Promise<AdapterReport["files"]> {
  const names = await adapterFiles(dir);
  return Promise.all(
    names.map(async (name) => {
      const holdsTensors = name === path.basename(weights.file);
      return {
        name,
        bytes: (await stat(path.join(dir, name))).size,
        tensors: holdsTensors ? weights.tensors.length : 0,
        dtypes: holdsTensors ? dtypes : [],
      };
    }),
  );
}

/** Modules of a method that Graft does not run yet: tensors by their own path. */
function storedModules({ weights }: AdapterCheckpoint): ModuleSummary[] {
  const modules = new Map<string, ModuleSummary>();
  for (const { name, shape, dtype } of weights.tensors) {
    const plain = name.replace(/^base_model\.(model\.)?/, "");
    const path =
      /^(.*\.\d+\.(?:[a-z]\w*\.)*?\w*(?:proj|attn|mlp|dense|fc\d|norm)\w*)\b/.exec(plain)?.[1] ??
      plain;
    const known = modules.get(path)?.parameters ?? 0;
    const parameters = known + elementCount(shape);
    const unknown = { rank: null, alpha: null, scaling: null, shape: null };
    modules.set(path, { path, parameters, dtype: dtypeLabel(dtype), ...unknown });
  }
  return [...modules.values()];
}

function toGrid(modules: readonly ModuleSummary[]): AdapterReport["grid"] {
  const cells = modules.map(({ path: module, shape, ...rest }): GridCell => {
    return { ...rest, module, ...placeInGrid(module), shape: shape ? [...shape] : null };
  });
  return { ...gridOf(cells), cells };
}
