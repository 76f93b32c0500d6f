import { t } from "@vscode/l10n";
import { existsSync, type Stats, statSync } from "node:fs";
import * as path from "node:path";
import { notFound } from "../core/base/errors.ts";
import { readTextNow } from "../core/base/json.ts";
import { totalElements } from "../core/base/shape.ts";
import {
  type AdapterConfig,
  adapterConfigName,
  methodLabel,
  parseAdapterConfig,
} from "../core/checkpoint/adapterConfig.ts";
import { findBaseFolder } from "../core/checkpoint/findBase.ts";
import { openTorchFile } from "../core/checkpoint/torchFile.ts";
import { folderLabel } from "../core/hub/cache.ts";
import { methodOf, methods } from "../core/peft/index.ts";
import { openSafetensorsNow } from "../core/safetensors/read.ts";
import type { AdapterSummary, Source } from "../protocol/engineContract.ts";
import { problemIn } from "./problemIn.ts";

interface Known {
  /** What its files looked like when they were read. */
  readonly stamp: string;
  readonly summary: AdapterSummary;
  readonly config: AdapterConfig | null;
}

/** So that folders that came and went do not stay for ever. */
const mostKnown = 50_000;

export interface SummaryOptions {
  readonly source: Source;
  readonly isQuick?: boolean;
  readonly bases?: BasePlaces;
}

/**
 * Adapters for lists: config and weights' header, read at once and not again while the files stay as
 * they are. Small reads that wait cost more of this thread than those that do not, so that thousands
 * are read in turns (`Pace`) instead.
 */
export class AdapterSummaries {
  private readonly known = new Map<string, Known>();

  /**
   * @param folder real path
   * @param isQuick the config alone is read, unless more is known already: `isUnread` says so
   */
  async summarize(
    folder: string,
    { source, isQuick = false, bases = new BasePlaces() }: SummaryOptions,
  ): Promise<AdapterSummary> {
    const files = filesOf(folder);
    const stamp = [files.config, files.weights].map(stampOf).join(" ");
    let known = this.known.get(folder);
    if (known?.stamp !== stamp || (!isQuick && known.summary.isUnread === true)) {
      known = { stamp, ...(await read(folder, files, isQuick)) };
      if (this.known.size >= mostKnown) this.known.clear();
      this.known.set(folder, known);
    }
    const basePath = known.config && (await bases.find(folder, known.config));
    return { ...known.summary, source, basePath };
  }
}

/** The bases that adapters lead to; siblings of one base ask once. */
export class BasePlaces {
  private readonly there = new Map<string, boolean>();
  private readonly found = new Map<string, string | null>();

  async find(dir: string, config: AdapterConfig): Promise<string | null> {
    const { baseName, revision } = config;
    if (baseName === null || baseName === "") return null;
    const isOwn = !path.isAbsolute(baseName) && this.isThere(path.join(dir, baseName));
    const key = JSON.stringify([isOwn ? dir : path.dirname(dir), baseName, revision]);
    const known = this.found.get(key);
    if (known !== undefined) return known;
    const isThere = (file: string): boolean => this.isThere(file);
    const found = await findBaseFolder({ dir, config }, { isThere });
    this.found.set(key, found);
    return found;
  }

  private isThere(file: string): boolean {
    let known = this.there.get(file);
    if (known === undefined) this.there.set(file, (known = existsSync(file)));
    return known;
  }
}

interface AdapterFiles {
  readonly config: Stats | undefined;
  readonly weights: Stats | undefined;
  readonly weightsFile: string;
}

/** safetensors wins over .bin, as in PEFT. */
function filesOf(folder: string): AdapterFiles {
  const stat = (name: string): Stats | undefined => {
    const found = statSync(path.join(folder, name), { throwIfNoEntry: false });
    return found?.isFile() ? found : undefined;
  };
  const config = stat(adapterConfigName);
  const tensors = stat("adapter_model.safetensors");
  const pickle = tensors ? undefined : stat("adapter_model.bin");
  const weightsFile = pickle ? "adapter_model.bin" : "adapter_model.safetensors";
  return { config, weights: tensors ?? pickle, weightsFile: path.join(folder, weightsFile) };
}

function stampOf(stats: Stats | undefined): string {
  return stats ? `${stats.ino}:${stats.mtimeMs}:${stats.size}` : "none";
}

async function read(
  folder: string,
  files: AdapterFiles,
  isQuick: boolean,
): Promise<Omit<Known, "stamp">> {
  const blank: AdapterSummary = {
    path: folder,
    name: folderLabel(folder),
    source: "folder",
    peftType: "",
    method: "unknown",
    rank: null,
    parameters: 0,
    bytes: 0,
    baseName: null,
    basePath: null,
    modified: 0,
  };
  let config: AdapterConfig | null = null;
  try {
    const file = path.join(folder, adapterConfigName);
    config = parseAdapterConfig(readTextNow(file), file);
    const { peftType, baseName } = config;
    const known = { ...blank, peftType, method: methodLabel(config), baseName };
    try {
      const describe = isQuick && files.weights ? describeUnread : describeWeights;
      return { config, summary: { ...known, ...(await describe(folder, config, files)) } };
    } catch (error) {
      return { config, summary: { ...known, problem: problemIn(folder, error) } };
    }
  } catch (error) {
    return { config, summary: { ...blank, problem: problemIn(folder, error) } };
  }
}

/** What the weights' file tells without being opened. */
function describeUnread(
  _folder: string,
  config: AdapterConfig,
  { weights }: AdapterFiles,
): Partial<AdapterSummary> {
  const { size: bytes = 0, mtimeMs: modified = 0 } = weights ?? {};
  // Methods validate their whole config before they say a rank; most of them call it r.
  const r = config.raw["r"];
  return { bytes, modified, rank: typeof r === "number" ? r : null, isUnread: true };
}

async function describeWeights(
  folder: string,
  config: AdapterConfig,
  { weights: stats, weightsFile }: AdapterFiles,
): Promise<Partial<AdapterSummary>> {
  if (!stats) {
    throw notFound(
      t("Adapter weights"),
      weightsFile,
      t("The folder holds a config but no weights."),
    );
  }
  const isPickle = weightsFile.endsWith(".bin");
  const weights = isPickle ? await openTorchFile(weightsFile) : openSafetensorsNow(weightsFile);
  const sizes = {
    bytes: weights.size,
    modified: stats.mtimeMs,
    parameters: totalElements(weights.tensors),
  };
  try {
    methodOf(config).check(config);
  } catch (error) {
    return { ...sizes, problem: problemIn(folder, error) };
  }
  return { ...sizes, rank: rankOf(config) };
}

function rankOf(config: AdapterConfig): number | null {
  return methods.find(({ peftType }) => peftType === config.peftType)?.rank(config) ?? null;
}
