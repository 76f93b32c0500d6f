import { t } from "@vscode/l10n";
import { type Dirent, readdirSync, realpathSync } from "node:fs";
import { readdir } from "node:fs/promises";
import * as path from "node:path";
import { dtypeLabel } from "../core/base/dtype.ts";
import { throwIfAborted } from "../core/base/errors.ts";
import { isFile } from "../core/base/files.ts";
import { adapterConfigName } from "../core/checkpoint/adapterConfig.ts";
import type { BaseCheckpoint } from "../core/checkpoint/baseCheckpoint.ts";
import { cachedRepos, folderLabel, hubCacheFolder } from "../core/hub/cache.ts";
import { architectureOf } from "../core/models/index.ts";
import { filesOf } from "../core/onnxExport/findExport.ts";
import { summarizeExport } from "../core/onnxExport/summarizeExport.ts";
import { openModel } from "../core/precision.ts";
import type {
  AdapterSummary,
  BaseModelSummary,
  DiscoverParams,
  DiscoverResult,
  ProgressEvent,
  Source,
} from "../protocol/engineContract.ts";
import { AdapterSummaries, BasePlaces } from "./adapterSummaries.ts";
import { Pace } from "./pace.ts";
import { problemIn } from "./problemIn.ts";

/** Folders that never hold a user's models, and how deep a root is searched. */
const skipped = new Set(["node_modules", "dist", "__pycache__", "blobs", "refs"]);
const deepest = 8;

/** Of more than these the weights' headers are read later (`readAdapters`): the list does not wait. */
const mostReadAtOnce = 1000;

interface Found {
  readonly folder: string;
  readonly source: Source;
  readonly kind: "adapter" | "base" | "export";
}

/**
 * Looks for base models and adapters; reads configs and headers only.
 * @param summaries keeps what was read of adapters from one look to the next
 */
export async function discover(
  { roots, huggingFaceCache }: DiscoverParams,
  { emit, signal }: { emit: (event: ProgressEvent) => void; signal: AbortSignal },
  summaries = new AdapterSummaries(),
): Promise<DiscoverResult> {
  const problems: DiscoverResult["problems"] = [];
  const found: Found[] = [];
  const pace = new Pace(signal);
  const at = { found, problems, pace, depth: 0 };
  for (const { path: root, source, isOne } of roots) {
    await search(root, { ...at, source, depth: isOne ? deepest : 0 });
  }
  if (huggingFaceCache) {
    for (const { snapshot } of await cachedRepos()) {
      await search(snapshot, { ...at, source: "cache" });
    }
  }
  const listed = await summarizeAll(found, { emit, signal, summaries });
  return {
    bases: [...listed.bases.values()],
    adapters: [...listed.adapters.values()],
    problems,
    ...(huggingFaceCache && { cache: hubCacheFolder() }),
  };
}

async function summarizeAll(
  found: readonly Found[],
  at: {
    emit: (event: ProgressEvent) => void;
    signal: AbortSignal;
    summaries: AdapterSummaries;
  },
): Promise<{ bases: Map<string, BaseModelSummary>; adapters: Map<string, AdapterSummary> }> {
  const bases = new Map<string, BaseModelSummary>();
  const adapters = new Map<string, AdapterSummary>();
  let done = 0;
  const say = (): void =>
    at.emit({ step: t("Reading headers"), done, total: found.length, unit: "items" });
  const pace = new Pace(at.signal, say);
  const places = new BasePlaces();
  const isQuick = found.length > mostReadAtOnce;
  say();
  for (const { folder, source, kind } of found) {
    await pace.breathe();
    done++;
    if (kind === "adapter" && !adapters.has(folder)) {
      adapters.set(
        folder,
        await at.summaries.summarize(folder, { source, isQuick, bases: places }),
      );
    }
    if (kind === "base" && !bases.has(folder)) {
      bases.set(folder, await summarizeBase(folder, source));
    }
    for (const file of kind === "export" ? await filesOf(folder) : []) {
      if (!bases.has(file)) bases.set(file, await summarizeOnnx(file, source));
    }
  }
  return { bases, adapters };
}

interface Search {
  readonly source: Source;
  readonly depth: number;
  readonly found: Found[];
  readonly problems: DiscoverResult["problems"];
  readonly pace: Pace;
}

async function search(root: string, at: Search): Promise<void> {
  await at.pace.breathe();
  try {
    await searchIn(realpathSync(root), at);
  } catch (error) {
    throwIfAborted(at.pace.signal);
    at.problems.push({ path: root, message: (error as Error).message });
  }
}

/** @param folder real path, and so are those below: links are not followed */
async function searchIn(folder: string, at: Search): Promise<void> {
  await at.pace.breathe();
  const entries = entriesOf(folder, at);
  const names = new Set(entries.map(({ name }) => name));
  const { found, source } = at;
  if (names.has(adapterConfigName)) found.push({ folder, source, kind: "adapter" });
  const isConfigured = names.has("config.json") || names.has("genai_config.json");
  if (isConfigured) {
    const hasWeights = entries.some(({ name }) =>
      /^(model|pytorch_model).*\.(safetensors|bin|index\.json)$/.test(name),
    );
    if (names.has("config.json") && hasWeights) found.push({ folder, source, kind: "base" });
    if (!hasWeights && (await filesOf(folder)).length > 0) {
      found.push({ folder, source, kind: "export" });
    }
  }
  // Checkpoints of a run are the run's: it is listed as one adapter, once that is there.
  if (at.depth === deepest || names.has("run.json")) return;
  for (const entry of entries) {
    if (!entry.isDirectory() || entry.name.startsWith(".") || skipped.has(entry.name)) continue;
    await searchIn(path.join(folder, entry.name), { ...at, depth: at.depth + 1 });
  }
}

function entriesOf(folder: string, { problems }: Search): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    problems.push({ path: folder, message: (error as Error).message });
    return [];
  }
}

/** A base for the list; what cannot be opened is listed with the reason. */
async function summarizeBase(folder: string, source: Source): Promise<BaseModelSummary> {
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

/** What a quick look has left out, for adapters that are listed; those that are gone are left out. */
export async function readAdapters(
  { adapters }: { adapters: { path: string; source: Source }[] },
  { signal }: { signal: AbortSignal },
  summaries: AdapterSummaries,
): Promise<AdapterSummary[]> {
  const pace = new Pace(signal);
  const bases = new BasePlaces();
  const read: AdapterSummary[] = [];
  for (const { path: folder, source } of adapters) {
    await pace.breathe();
    if (!(await isFile(path.join(folder, adapterConfigName)))) continue;
    read.push(await summaries.summarize(folder, { source, bases }));
  }
  return read;
}

/** An adapter for the list, by itself. */
export async function summarizeAdapter(folder: string, source: Source): Promise<AdapterSummary> {
  return new AdapterSummaries().summarize(folder, { source });
}

function errorOf(folder: string, check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return problemIn(folder, error);
  }
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
