/** Adapters on the Hub, known by their configs and headers; no weight is fetched. */
import { t } from "@vscode/l10n";
import * as path from "node:path";
import { badFile } from "../base/errors.ts";
import { readRemoteText } from "../hub/remoteFile.ts";
import { readRepo, type RemoteRepo, type RepoFile } from "../hub/repo.ts";
import { chooseFiles, type FileChoice } from "../hub/repoFiles.ts";
import { type HubSettings, hubSettings } from "../hub/settings.ts";
import type { SnapshotOptions } from "../hub/snapshot.ts";
import { openRemoteSafetensors } from "../safetensors/remote.ts";
import type { AdapterCheckpoint } from "./adapterCheckpoint.ts";
import { type AdapterConfig, adapterConfigName, parseAdapterConfig } from "./adapterConfig.ts";
import { renameTensors } from "./tensorNames.ts";

/** An adapter on the Hub before anything of it is downloaded. */
export interface RemoteAdapter {
  readonly id: string;
  readonly commit: string;
  readonly config: AdapterConfig;
  readonly files: readonly RepoFile[];
  /** The file of its weights. */
  readonly weights: RepoFile;
  /** Reads the header of its weights. @returns null for .bin, which says nothing before it is whole */
  open(): Promise<AdapterCheckpoint | null>;
}

type Options = Pick<SnapshotOptions, "revision" | "subfolder" | "signal"> &
  Partial<SnapshotOptions>;

interface Found {
  readonly settings: HubSettings;
  readonly repo: RemoteRepo;
  readonly choice: FileChoice;
}

/** @throws not-found when the repository holds no adapter; bad-file for a config that is none */
export async function readRemoteAdapter(id: string, options: Options = {}): Promise<RemoteAdapter> {
  const { settings, repo, choice } = await find(id, options);
  const { files } = choice;
  const config = files.find(({ path: name }) => path.posix.basename(name) === adapterConfigName);
  const weights = files.find(({ path: name }) => /adapter_model\.(safetensors|bin)$/.test(name));
  if (!config || !weights) throw badFile(id, t("has no adapter's config and weights"));
  const text = await readRemoteText(settings, { repo, file: config }, options.signal);
  const parsed = parseAdapterConfig(text, `${id}/${config.path}`);
  return {
    id,
    commit: repo.commit,
    config: parsed,
    files,
    weights,
    open: async () => {
      if (!weights.path.endsWith(".safetensors")) return null;
      const stored = await openRemoteSafetensors(settings, { repo, file: weights }, options.signal);
      const { tensors, notes } = renameTensors(stored.tensors, {}, stored.file);
      const header = { ...stored, tensors };
      const rest = { notes, modified: 0, ignoreMismatchedSizes: false };
      return { dir: id, config: parsed, weights: header, ...rest };
    },
  };
}

async function find(id: string, options: Options): Promise<Found> {
  const settings = await hubSettings(options);
  const { revision, subfolder, signal } = options;
  const repo = await readRepo(settings, id, { revision, signal });
  const readText = (file: RepoFile): Promise<string> =>
    readRemoteText(settings, { repo, file }, signal);
  return {
    settings,
    repo,
    choice: await chooseFiles(repo, { kind: "adapter", subfolder }, readText),
  };
}
