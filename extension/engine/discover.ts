import { t } from "@vscode/l10n";
import { readdir, realpath } from "node:fs/promises";
import * as path from "node:path";
import { dtypeLabel } from "../core/base/dtype.ts";
import { asGraftError, throwIfAborted } from "../core/base/errors.ts";
import { isFile } from "../core/base/files.ts";
import { elementCount } from "../core/base/shape.ts";
import {
  type AdapterCheckpoint,
  openAdapterCheckpoint,
} from "../core/checkpoint/adapterCheckpoint.ts";
import {
  adapterConfigName,
  methodLabel,
  readAdapterConfig,
} from "../core/checkpoint/adapterConfig.ts";
import type { BaseCheckpoint } from "../core/checkpoint/baseCheckpoint.ts";
import { findBaseFolder } from "../core/checkpoint/findBase.ts";
import { cachedRepos, folderLabel } from "../core/hub/cache.ts";
import { architectureOf } from "../core/models/index.ts";
import { openModel } from "../core/precision.ts";
import { filesOf } from "../core/onnxExport/findExport.ts";
import { summarizeExport } from "../core/onnxExport/summarizeExport.ts";
import { methodOf, methods } from "../core/peft/index.ts";
import type {
  AdapterSummary,
  BaseModelSummary,
  DiscoverParams,
  DiscoverResult,
  ProgressEvent,
  Source,
} from "../protocol/engineContract.ts";

/** Folders that never hold a user's models, and how deep a root is searched. */
const skipped = new Set(["node_modules", "dist", "__pycache__", "blobs", "refs"]);
const deepest = 8;

interface Found {
  readonly folder: string;
  readonly source: Source;
  readonly kind: "adapter" | "base" | "export";
}

/** Looks for base models and adapters; reads configs and headers only. */
export async function discover(
  { roots, huggingFaceCache }: DiscoverParams,
  { emit, signal }: { emit: (event: ProgressEvent) => void; signal: AbortSignal },
): Promise<DiscoverResult> {
  const problems: DiscoverResult["problems"] = [];
  const found: Found[] = [];
  for (const { path: root, source } of roots) {
    throwIfAborted(signal);
    await search(root, { source, depth: 0, found, problems, signal });
  }
  if (huggingFaceCache) {
    for (const { snapshot } of await cachedRepos()) {
      await search(snapshot, { source: "cache", depth: 0, found, problems, signal });
    }
  }
  const bases = new Map<string, BaseModelSummary>();
  const adapters = new Map<string, AdapterSummary>();
  let done = 0;
  for (const item of found) {
    throwIfAborted(signal);
    emit({ step: t("Reading headers"), done: done++, total: found.length, unit: "items" });
    const folder = await realpath(item.folder);
    if (item.kind === "base" && !bases.has(folder)) {
      bases.set(folder, await summarizeBase(folder, item.source));
    }
    if (item.kind === "export") {
      for (const file of await filesOf(folder)) {
        if (!bases.has(file)) bases.set(file, await summarizeOnnx(file, item.source));
      }
    }
    if (item.kind === "adapter" && !adapters.has(folder)) {
      adapters.set(folder, await summarizeAdapter(folder, item.source));
    }
  }
  return { bases: [...bases.values()], adapters: [...adapters.values()], problems };
}

interface Search {
  readonly source: Source;
  readonly depth: number;
  readonly found: Found[];
  readonly problems: DiscoverResult["problems"];
  readonly signal: AbortSignal;
}

async function search(folder: string, at: Search): Promise<void> {
  throwIfAborted(at.signal);
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: Error) => {
    at.problems.push({ path: folder, message: error.message });
    return [];
  });
  const names = entries.map((entry) => entry.name);
  if (names.includes(adapterConfigName)) {
    at.found.push({ folder, source: at.source, kind: "adapter" });
  }
  const hasWeights = names.some((name) =>
    /^(model|pytorch_model).*\.(safetensors|bin|index\.json)$/.test(name),
  );
  if (names.includes("config.json") && hasWeights) {
    at.found.push({ folder, source: at.source, kind: "base" });
  }
  const isConfigured = names.includes("config.json") || names.includes("genai_config.json");
  if (isConfigured && !hasWeights && (await filesOf(folder)).length > 0) {
    at.found.push({ folder, source: at.source, kind: "export" });
  }
  if (at.depth === deepest) return;
  for (const entry of entries) {
    if (!entry.isDirectory() || entry.name.startsWith(".") || skipped.has(entry.name)) continue;
    await search(path.join(folder, entry.name), { ...at, depth: at.depth + 1 });
  }
}

/** A base for the list; what cannot be opened is listed with the reason. */
export async function summarizeBase(folder: string, source: Source): Promise<BaseModelSummary> {
  try {
    const { checkpoint } = await openModel(folder);
    const problem = errorOf(checkpoint.dir, () => architectureOf(checkpoint.config));
    return { ...describeCheckpoint(checkpoint, source), ...(problem && { unsupported: problem }) };
  } catch (error) {
    const blank = { modelType: "", architecture: "", parameters: 0, dtype: "", bytes: 0 };
    const name = folderLabel(folder);
    return { path: folder, name, source, ...blank, unsupported: problemIn(folder, error) };
  }
}

/** A variant of an ONNX export for the list; its path is the .onnx file. */
async function summarizeOnnx(file: string, source: Source): Promise<BaseModelSummary> {
  try {
    const { name, config, parameters, dtype, bytes } = await summarizeExport(file);
    const { modelType, architecture } = config;
    return { path: file, name, source, modelType, architecture, parameters, dtype, bytes };
  } catch (error) {
    const blank = { modelType: "", architecture: "", parameters: 0, dtype: "", bytes: 0 };
    const name = path.basename(file);
    const unsupported = problemIn(path.dirname(file), error);
    return { path: file, name, source, ...blank, unsupported };
  }
}

export function describeCheckpoint(checkpoint: BaseCheckpoint, source: Source): BaseModelSummary {
  const { dir, name, config, parameters, dtype, bytes, onnx } = checkpoint;
  const { modelType, architecture } = config;
  return {
    path: onnx ?? dir,
    name,
    source,
    modelType,
    architecture,
    parameters,
    bytes,
    dtype: dtypeLabel(dtype),
  };
}

export async function summarizeAdapter(folder: string, source: Source): Promise<AdapterSummary> {
  const name = folderLabel(folder);
  const blank: AdapterSummary = {
    path: folder,
    name,
    source,
    peftType: "",
    method: "unknown",
    rank: null,
    parameters: 0,
    bytes: 0,
    baseName: null,
    basePath: null,
    modified: 0,
  };
  try {
    const config = await readAdapterConfig(folder);
    const known: AdapterSummary = {
      ...blank,
      peftType: config.peftType,
      method: methodLabel(config),
      baseName: config.baseName,
      basePath: await findBaseFolder({ dir: folder, config }),
    };
    try {
      return { ...known, ...describeWeights(await openAdapterCheckpoint(folder)) };
    } catch (error) {
      return { ...known, problem: problemIn(folder, error) };
    }
  } catch (error) {
    return { ...blank, problem: problemIn(folder, error) };
  }
}

function describeWeights({
  dir,
  weights,
  config,
  modified,
}: AdapterCheckpoint): Partial<AdapterSummary> {
  const sizes = {
    bytes: weights.size,
    modified,
    parameters: weights.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
  };
  const method = methods.find((known) => known.peftType === config.peftType);
  const problem = errorOf(dir, () => methodOf(config).check(config));
  if (problem !== undefined) return { ...sizes, problem };
  return { ...sizes, rank: method?.rank(config) ?? null };
}

function errorOf(folder: string, check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return problemIn(folder, error);
  }
}

/** The message of an error about a folder's file, without the folder: its reader knows that. */
export function problemIn(folder: string, error: unknown): string {
  return asGraftError(error)
    .message.replaceAll(folder + path.sep, "")
    .replaceAll(`${folder} `, "");
}

/** Files of an adapter's folder that belong to it, for the inspector. */
export async function adapterFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  const own = names.filter((name) =>
    /^(adapter_|README\.md$|tokenizer|special_tokens|chat_template)/.test(name),
  );
  const kept = await Promise.all(own.map((name) => isFile(path.join(folder, name))));
  return own.filter((_, i) => kept[i]).sort();
}
