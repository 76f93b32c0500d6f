/** What an adapter_config.json says, held against the base that it leads to and the weights beside it. */
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { asGraftError, type ErrorCode, throwIfAborted } from "./base/errors.ts";
import { dtypeLabel } from "./base/dtype.ts";
import { isFile } from "./base/files.ts";
import { isObject, type JsonObject, parseJsonObject } from "./base/json.ts";
import { bindReasons } from "./bindReasons.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import {
  type AdapterConfig,
  adapterConfigOf,
  parseAdapterConfig,
} from "./checkpoint/adapterConfig.ts";
import { repeatsRepeated } from "./checkpoint/alternatives.ts";
import { searchBase } from "./checkpoint/findBase.ts";
import { isVocabulary, layerIndex } from "./checkpoint/modules.ts";
import { parameterNames } from "./checkpoint/parameters.ts";
import type { DescribedBase, DescribedBases } from "./configBase.ts";
import { matchPatterns, type PatternMatch } from "./configPatterns.ts";
import {
  differingRanks,
  methodOfTensors,
  type StoredRank,
  vocabularyDifference,
} from "./configWeights.ts";
import { methodOf } from "./peft/index.ts";

export interface ConfigFactsOptions {
  /** The file's path; weights are looked for in its folder. */
  readonly path: string;
  readonly text: string;
  /** A base that stands in where the text leads to none. */
  readonly standIn?: string | undefined;
  /** A base that is in memory, by its folder: it is not read again. */
  readonly loaded?: ((folder: string) => DescribedBase | undefined) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Problem {
  code: ErrorCode;
  message: string;
  field: string | null;
  needsBase: boolean;
}

interface BaseFacts {
  path: string;
  name: string;
  modelType: string;
  dtype: string;
  parameters: number;
  vocabulary: number;
  layers: number;
  via: "named" | "standIn";
  modules: { path: string; kind: "linear" | "embedding" | "norm"; in: number; out: number }[];
  parameterNames: string[];
  isGuess: boolean;
}

type Weights =
  | { kind: "present"; file: string; tensors: number }
  | { kind: "missing"; file: string }
  | { kind: "broken"; file: string; message: string };

export interface AdapterConfigFacts {
  base: BaseFacts | null;
  baseProblem: string;
  tried: string[];
  patterns: PatternMatch[];
  weights: Weights;
  storedType: string | null;
  ranks: { differing: StoredRank[]; known: number; stored: number | null };
  vocabulary: { tensor: string; module: string; stored: number; base: number } | null;
  problem: Problem | null;
  fit: { bound: number; total: number; reasons: string[] } | null;
}

/**
 * Facts about a config, as far as it can be read; nothing but headers is read.
 * @throws bad-file when the text is no JSON object
 */
export async function configFacts(
  options: ConfigFactsOptions,
  bases: DescribedBases,
): Promise<AdapterConfigFacts> {
  const { path: file, text, signal } = options;
  const raw = parseJsonObject(text, file, { isPython: true });
  const config = looseConfig(raw, text, file);
  const dir = path.dirname(file);
  const { weights, adapter } = await openWeights(dir, config, signal);
  const { described, found } = await openBase({ ...options, config, adapter }, bases);
  throwIfAborted(signal);
  const endless = endlessPattern(raw);
  const tensors = adapter?.weights.tensors ?? [];
  const tree = described?.base.tree;
  return {
    base: described ? baseFacts(described, found.via) : null,
    baseProblem: found.problem,
    tried: found.tried,
    patterns: tree && !endless ? matchPatterns(raw, tree) : [],
    weights,
    storedType: methodOfTensors(tensors),
    ranks: adapter ? differingRanks(adapter) : { differing: [], known: 0, stored: null },
    vocabulary: described ? vocabularyDifference(tensors, described.base) : null,
    ...(endless ?? verdict({ text, file, adapter }, described)),
  };
}

/** How a config's adapter would fit a base: the share of its modules that find their place. */
export async function fitOfConfig(
  { path: file, text, signal }: Pick<ConfigFactsOptions, "path" | "text" | "signal">,
  folder: string,
  bases: DescribedBases,
): Promise<{ described: DescribedBase; bound: number; total: number; fits: boolean }> {
  const config = looseConfig(parseJsonObject(text, file, { isPython: true }), text, file);
  const { adapter } = await openWeights(path.dirname(file), config, signal);
  const endless = endlessPattern(config.raw);
  const tensors = adapter?.weights.tensors ?? null;
  const described = await bases.get(folder, {
    taskType: config.taskType,
    tensors,
    ...(signal && { signal }),
  });
  const { fit, problem } = endless ?? verdict({ text, file, adapter }, described);
  const { bound = 0, total = 0 } = fit ?? {};
  return { described, bound, total, fits: problem === null && bound > 0 && bound === total };
}

/** A config whose common fields may be missing or wrong: they are taken where they are good. */
function looseConfig(raw: JsonObject, text: string, file: string): AdapterConfig {
  const string = (field: string): string | null => {
    const value = raw[field];
    return typeof value === "string" ? value : null;
  };
  try {
    return parseAdapterConfig(text, file);
  } catch {
    const fields = { ...raw, peft_type: string("peft_type") ?? "", task_type: null };
    return {
      ...adapterConfigOf({ peft_type: fields.peft_type }),
      ...{ file, raw, text, taskType: null },
      baseName: string("base_model_name_or_path"),
      revision: string("revision"),
    };
  }
}

async function openWeights(
  dir: string,
  config: AdapterConfig,
  signal: AbortSignal | undefined,
): Promise<{ weights: Weights; adapter: AdapterCheckpoint | null }> {
  const names = ["adapter_model.safetensors", "adapter_model.bin"].map((name) =>
    path.join(dir, name),
  );
  const found = await Promise.all(names.map(isFile));
  const file = names[found.indexOf(true)];
  if (file === undefined) {
    return { weights: { kind: "missing", file: names[0] as string }, adapter: null };
  }
  try {
    // The editor's text counts, not the file's.
    const fields = { ...config.raw, peft_type: config.peftType, task_type: config.taskType };
    const opened = await openAdapterCheckpoint(dir, signal, { config: fields });
    const adapter = { ...opened, config };
    return { weights: { kind: "present", file, tensors: opened.weights.tensors.length }, adapter };
  } catch (error) {
    throwIfAborted(signal);
    return {
      weights: { kind: "broken", file, message: asGraftError(error).message },
      adapter: null,
    };
  }
}

/** The problem of a pattern that is not tried just because its file is open; null for none. */
function endlessPattern(raw: JsonObject): Pick<AdapterConfigFacts, "problem" | "fit"> | null {
  for (const [field, value] of Object.entries(raw)) {
    const isKeyed = field.endsWith("_pattern") && isObject(value);
    const patterns = isKeyed ? Object.keys(value) : typeof value === "string" ? [value] : [];
    const isPattern = isKeyed || field.endsWith("_modules");
    const found = isPattern ? patterns.find(repeatsRepeated) : undefined;
    if (found === undefined) continue;
    const message = t(
      'The pattern "{0}" repeats a group that repeats inside, which can take for ever to match; it is not tried here. Write it without the outer repetition.',
      found,
    );
    return { problem: { code: "unsupported", message, field, needsBase: false }, fit: null };
  }
  return null;
}

interface FoundBase {
  readonly via: "named" | "standIn";
  readonly problem: string;
  readonly tried: string[];
}

async function openBase(
  at: ConfigFactsOptions & { config: AdapterConfig; adapter: AdapterCheckpoint | null },
  bases: DescribedBases,
): Promise<{ described: DescribedBase | null; found: FoundBase }> {
  const { config, adapter, signal } = at;
  const search = await searchBase({ dir: path.dirname(at.path), config });
  const folder = search.found ?? at.standIn;
  const via = search.found === null ? "standIn" : "named";
  const tried = search.found === null ? [...search.tried] : [];
  if (folder === undefined) return { described: null, found: { via, problem: "", tried } };
  const tensors = adapter?.weights.tensors ?? null;
  try {
    const own = at.loaded?.(folder);
    const wish = { taskType: config.taskType, tensors, ...(signal && { signal }) };
    const described = own ?? (await bases.get(folder, wish));
    return { described, found: { via, problem: "", tried } };
  } catch (error) {
    throwIfAborted(signal);
    return { described: null, found: { via, problem: asGraftError(error).message, tried } };
  }
}

function baseFacts({ checkpoint, base, isGuess }: DescribedBase, via: BaseFacts["via"]): BaseFacts {
  const { tree, modelType } = base;
  const table = tree.modules.find(
    (module) => module.kind === "embedding" && isVocabulary(module, tree),
  );
  const layers = new Set(
    tree.modules.map(({ path: own }) => layerIndex(own)).filter((i) => i !== null),
  );
  return {
    path: checkpoint.onnx ?? checkpoint.dir,
    name: checkpoint.name,
    modelType,
    dtype: dtypeLabel(checkpoint.dtype),
    parameters: checkpoint.parameters,
    vocabulary: table?.kind === "embedding" ? table.in : 0,
    layers: layers.size,
    via,
    modules: tree.modules.map((module) => ({
      path: module.path,
      kind: module.kind,
      in: module.kind === "norm" ? module.out : module.in,
      out: module.out,
    })),
    parameterNames: parameterNames(tree),
    isGuess,
  };
}

/** What loading would say: the config alone first, then on the base. */
function verdict(
  { text, file, adapter }: { text: string; file: string; adapter: AdapterCheckpoint | null },
  described: DescribedBase | null,
): Pick<AdapterConfigFacts, "problem" | "fit"> {
  let needsBase = false;
  try {
    const config = parseAdapterConfig(text, file);
    const method = methodOf(config);
    method.check(config);
    if (!described || described.isGuess || !adapter) return { problem: null, fit: null };
    needsBase = true;
    const own = { ...adapter, config };
    const report = method.bind(own, described.base);
    const { bound, total, unexpected, unbound } = report;
    const isWhole = unbound.length === 0 && unexpected.length === 0;
    const reasons = isWhole ? [] : bindReasons(own, report, described.base);
    return { problem: null, fit: { bound: bound.length, total, reasons } };
  } catch (error) {
    const { code, message, details } = asGraftError(error);
    const field = typeof details["field"] === "string" ? details["field"] : null;
    const plain = message.replaceAll(`${file}: `, "").replaceAll(path.dirname(file) + path.sep, "");
    // A word of the sentence, not a field's name.
    const sentence = plain.replace(/^[a-zäöü](?=[a-zäöü]* )/, (first) => first.toUpperCase());
    return { problem: { code, message: sentence, field, needsBase }, fit: null };
  }
}
