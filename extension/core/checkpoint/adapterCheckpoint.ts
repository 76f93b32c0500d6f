import { t } from "@vscode/l10n";
import { realpath, stat } from "node:fs/promises";
import * as path from "node:path";
import { asGraftError, notFound, throwIfAborted } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors/read.ts";
import type { JsonObject } from "../base/json.ts";
import {
  type AdapterConfig,
  adapterConfigName,
  adapterConfigOf,
  readAdapterConfig,
} from "./adapterConfig.ts";
import { expertFolders, expertSources, type ExpertSource } from "./experts.ts";
import { renameTensors, type TensorNaming } from "./tensorNames.ts";
import { openTorchFile } from "./torchFile.ts";

/** An adapter's folder: config and header read, no weight touched. */
export interface AdapterCheckpoint {
  /** Real path of the folder. */
  readonly dir: string;
  readonly config: AdapterConfig;
  /** Its tensors have the names that PEFT saves them with, whatever the file calls them. */
  readonly weights: SafetensorsFile;
  /** Sentences on what its files say in an unusual way. */
  readonly notes: readonly string[];
  /** Leave out what has another shape than the base wants, instead of refusing it. */
  readonly ignoreMismatchedSizes: boolean;
  /** Milliseconds since the epoch. */
  readonly modified: number;
  /** The adapters that it is made of, in their order; absent for most. */
  readonly experts?: readonly Expert[];
}

/** One of the adapters that another one is made of. */
export interface Expert extends ExpertSource {
  /** Folders of this machine that may be it, the likeliest first. */
  readonly found: readonly AdapterCheckpoint[];
  /** Why folders in its place could not be read. */
  readonly problems: readonly string[];
}

/** How an adapter's files are read where they alone do not say it. */
export interface AdapterReading extends TensorNaming {
  /** Used in place of adapter_config.json: a config's fields, or a folder that holds one. */
  readonly config?: JsonObject | string | undefined;
  readonly ignoreMismatchedSizes?: boolean | undefined;
}

export async function openAdapterCheckpoint(
  folder: string,
  signal?: AbortSignal,
  reading: AdapterReading = {},
): Promise<AdapterCheckpoint> {
  const adapter = await openFolder(folder, signal, reading);
  const sources = expertSources(adapter.config);
  if (sources.length === 0) return adapter;
  const experts: Expert[] = [];
  for (const source of sources) experts.push(await openExpert(adapter.dir, source, signal));
  return { ...adapter, experts };
}

async function openExpert(
  dir: string,
  source: ExpertSource,
  signal: AbortSignal | undefined,
): Promise<Expert> {
  const found: AdapterCheckpoint[] = [];
  const problems: string[] = [];
  for (const candidate of await expertFolders(dir, source)) {
    if (!(await isFile(path.join(candidate, adapterConfigName)))) continue;
    try {
      found.push(await openFolder(candidate, signal));
    } catch (error) {
      throwIfAborted(signal);
      problems.push(asGraftError(error).message);
    }
  }
  return { ...source, found, problems };
}

async function openFolder(
  folder: string,
  signal?: AbortSignal,
  { config: given, ignoreMismatchedSizes = false, ...naming }: AdapterReading = {},
): Promise<AdapterCheckpoint> {
  const dir = await realpath(folder).catch(() => {
    throw notFound(t("Adapter"), folder, t("Choose a folder that holds adapter_config.json."));
  });
  const config =
    typeof given === "object"
      ? adapterConfigOf(given)
      : await readAdapterConfig(given ?? dir, signal);
  const stored = await openWeights(dir);
  const { tensors, notes } = renameTensors(stored.tensors, naming, stored.file);
  const { mtimeMs } = await stat(stored.file);
  const weights = { ...stored, tensors };
  return { dir, config, weights, modified: mtimeMs, notes, ignoreMismatchedSizes };
}

/** safetensors wins over .bin, as in PEFT. */
async function openWeights(dir: string): Promise<SafetensorsFile> {
  const file = path.join(dir, "adapter_model.safetensors");
  if (await isFile(file)) return openSafetensors(file);
  const pickle = path.join(dir, "adapter_model.bin");
  if (await isFile(pickle)) return openTorchFile(pickle);
  throw notFound(t("Adapter weights"), file, t("The folder holds a config but no weights."));
}

/**
 * Tensor names as modules know them: PEFT's `base_model.model.` in front and an adapter name that
 * some writers leave between `lora_A` and `weight` are dropped.
 */
export function plainTensorName(name: string): string {
  return name.replace(/^base_model\.model\./, "").replace(/\.default\.(weight|bias)$/, ".$1");
}
