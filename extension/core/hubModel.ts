import { t } from "@vscode/l10n";
import * as path from "node:path";
import { asGraftError, throwIfAborted } from "./base/errors.ts";
import { isFile } from "./base/files.ts";
import { adapterConfigName, readAdapterConfig } from "./checkpoint/adapterConfig.ts";
import { searchBase } from "./checkpoint/findBase.ts";
import { readRemoteAdapter } from "./checkpoint/remoteModel.ts";
import { isRepoId } from "./hub/cache.ts";
import {
  type DownloadPlan,
  downloadPlan,
  snapshotDownload,
  type SnapshotOptions,
} from "./hub/snapshot.ts";

/** What downloading a model would fetch: of an adapter its base too, where it is not here. */
export interface ModelPlan extends DownloadPlan {
  readonly base?: DownloadPlan;
  /** Of both, what is not in the cache; in bytes. */
  readonly allBytes: number;
  /** Why the adapter's base cannot be planned for; a sentence. */
  readonly baseProblem?: string;
}

export interface ModelOptions extends SnapshotOptions {
  /** False leaves out the base of an adapter. */
  readonly withBase?: boolean | undefined;
}

/** Plans a download without fetching more than lists, an index and an adapter's config. */
export async function planModel(id: string, options: ModelOptions = {}): Promise<ModelPlan> {
  const plan = await downloadPlan(id, options);
  const alone = { ...plan, allBytes: plan.bytes };
  if (plan.kind !== "adapter" || options.withBase === false) return alone;
  const { config } = await readRemoteAdapter(id, options);
  const { found } = await searchBase(
    { dir: path.resolve(id), config },
    { cache: options.cacheDir },
  );
  const { baseName } = config;
  if (found !== null || baseName === null) return alone;
  if (!isRepoId(baseName)) {
    return { ...alone, baseProblem: t("Its base {0} is a path of another machine.", baseName) };
  }
  try {
    const base = await downloadPlan(baseName, baseOptions(options, config.revision));
    return { ...plan, base, allBytes: plan.bytes + base.bytes };
  } catch (error) {
    throwIfAborted(options.signal);
    return { ...alone, baseProblem: asGraftError(error).message };
  }
}

/** Where a downloaded model lies. */
export interface DownloadedModel {
  readonly folder: string;
  /** Of an adapter: its base's folder; null when it is nowhere or was not wished for. */
  readonly base: string | null;
}

/** Downloads a model; of an adapter its base too, where it is not on this machine. */
export async function downloadModel(
  id: string,
  options: ModelOptions = {},
): Promise<DownloadedModel> {
  const root = await snapshotDownload(id, options);
  const folder = options.subfolder ? path.join(root, options.subfolder) : root;
  const isAdapter = await isFile(path.join(folder, adapterConfigName));
  const isBase = await isFile(path.join(folder, "config.json"));
  if (!isAdapter || isBase || options.withBase === false) return { folder, base: null };
  const config = await readAdapterConfig(folder, options.signal);
  const { found } = await searchBase({ dir: folder, config }, { cache: options.cacheDir });
  if (found !== null || config.baseName === null || !isRepoId(config.baseName)) {
    return { folder, base: found };
  }
  const base = await snapshotDownload(config.baseName, baseOptions(options, config.revision));
  return { folder, base };
}

function baseOptions(options: ModelOptions, revision: string | null): SnapshotOptions {
  const { subfolder: _, patterns: __, ...rest } = options;
  return { ...rest, kind: "base", revision: revision ?? undefined };
}
