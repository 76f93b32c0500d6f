import { t } from "@vscode/l10n";
import { asGraftError, notFound, throwIfAborted } from "../base/errors.ts";
import type { OnProgress } from "../base/progress.ts";
import { findCachedRepo } from "./cache.ts";
import {
  blobFile,
  isCached,
  noteAbsent,
  putIntoSnapshot,
  sizeOf,
  snapshotFolder,
  tagCache,
  writeRef,
} from "./cacheFiles.ts";
import { downloadBlob, requireRoom, withRoom } from "./downloadBlob.ts";
import { readRemoteText } from "./remoteFile.ts";
import { readRepo, type RemoteRepo, type RepoFile } from "./repo.ts";
import { chooseFiles, type FileChoice, type FileWish } from "./repoFiles.ts";
import { type HubOptions, type HubSettings, hubSettings } from "./settings.ts";

export interface SnapshotOptions extends HubOptions, FileWish {
  /** Branch, tag or commit; "main" when absent. */
  readonly revision?: string | undefined;
  /** Take what is in the cache and ask nobody. */
  readonly localFilesOnly?: boolean | undefined;
  /** Fetch again what is in the cache. */
  readonly forceDownload?: boolean | undefined;
  /** Why the cache had to do although the Hub was asked; a sentence. */
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a download would fetch. */
export interface DownloadPlan {
  readonly id: string;
  readonly revision: string;
  readonly commit: string;
  readonly kind: FileChoice["kind"];
  readonly files: readonly { path: string; size: number; isCached: boolean }[];
  /** Of all files, and of those that are not in the cache; in bytes. */
  readonly totalBytes: number;
  readonly bytes: number;
}

interface Chosen {
  readonly settings: HubSettings;
  readonly repo: RemoteRepo;
  readonly choice: FileChoice;
}

/** Asks the Hub which files a model is made of and which of them are here; fetches none. */
export async function downloadPlan(
  id: string,
  options: SnapshotOptions = {},
): Promise<DownloadPlan> {
  const { settings, repo, choice } = await choose(id, options, await hubSettings(options));
  const files = await Promise.all(
    choice.files.map(async (file) => ({
      path: file.path,
      size: file.size,
      isCached: !options.forceDownload && (await isCached(settings.cacheDir, repo, file)),
    })),
  );
  const sum = (some: typeof files): number => some.reduce((total, { size }) => total + size, 0);
  return {
    id,
    revision: repo.revision,
    commit: repo.commit,
    kind: choice.kind,
    files,
    totalBytes: sum(files),
    bytes: sum(files.filter((file) => !file.isCached)),
  };
}

/**
 * A model's folder in the cache, filled from the Hub as far as it is not. The folder shows new files
 * only when all of them are there. When the Hub cannot be asked, what is in the cache has to do.
 * @returns the snapshot's folder, whatever the subfolder
 */
export async function snapshotDownload(id: string, options: SnapshotOptions = {}): Promise<string> {
  const settings = await hubSettings(options);
  const { revision = "main", localFilesOnly = false, onWarning, signal } = options;
  const cached = await findCachedRepo(id, { cache: settings.cacheDir, revision });
  if (localFilesOnly || settings.offline) {
    if (cached !== null) return cached;
    const why = localFilesOnly
      ? t("downloads are not wished for")
      : t("offline mode is on (HF_HUB_OFFLINE)");
    throw notFound(
      t("Repository"),
      t("{0} at {1}", id, revision),
      t("It is not in the Hugging Face cache {0}, and {1}.", settings.cacheDir, why),
    );
  }
  // With a copy in hand a Hub that does not answer is not waited for.
  const quick = { ...settings, retries: 0, stallTimeout: Math.min(10_000, settings.stallTimeout) };
  const mayFallBack = cached !== null && options.forceDownload !== true;
  let chosen: Chosen;
  try {
    chosen = await choose(id, options, mayFallBack ? quick : settings);
  } catch (error) {
    throwIfAborted(signal);
    if (!mayFallBack || !isAboutAsking(error)) throw error;
    onWarning?.(t("The copy in the cache is used: {0}", asGraftError(error).message));
    return cached;
  }
  const full = { ...chosen, settings };
  return withRoom(settings.cacheDir, id, () => fetchAll(full, options));
}

/** Of a Hub that did not answer, or not to this token; a revision that is gone is no such thing. */
function isAboutAsking(error: unknown): boolean {
  const { code, details } = asGraftError(error);
  if (code === "not-found") return details["what"] === t("Repository");
  return ["unreachable", "rate-limited", "unauthorized", "gated"].includes(code);
}

async function choose(
  id: string,
  options: SnapshotOptions,
  settings: HubSettings,
): Promise<Chosen> {
  const { signal, onProgress, revision } = options;
  onProgress?.({ step: t("Asking the Hub for {0}", id) });
  const repo = await readRepo(settings, id, { revision, signal });
  const readText = (file: RepoFile): Promise<string> =>
    readRemoteText(settings, { repo, file }, signal);
  return { settings, repo, choice: await chooseFiles(repo, options, readText) };
}

async function fetchAll(
  { settings, repo, choice }: Chosen,
  options: SnapshotOptions,
): Promise<string> {
  const { cacheDir } = settings;
  const { forceDownload = false, signal } = options;
  const missing: RepoFile[] = [];
  for (const file of choice.files) {
    if (forceDownload || !(await isCached(cacheDir, repo, file))) missing.push(file);
  }
  await tagCache(cacheDir);
  await requireRoom(cacheDir, await bytesToCome(cacheDir, repo, missing));
  await fetchMissing({ settings, repo, missing }, options);
  throwIfAborted(signal);
  // Blobs of equal content are one: the last file that has it may move it where links cannot be made.
  const lastOf = new Map(missing.map((file) => [file.etag, file]));
  for (const file of choice.files) {
    const isNew = lastOf.get(file.etag) === file;
    await putIntoSnapshot(cacheDir, { repo, file, isNew });
  }
  await noteAbsent(cacheDir, repo, choice.absent);
  await writeRef(cacheDir, repo);
  return snapshotFolder(cacheDir, repo);
}

/** What is left to download, partial files taken off. */
async function bytesToCome(
  cacheDir: string,
  repo: RemoteRepo,
  missing: readonly RepoFile[],
): Promise<number> {
  let bytes = 0;
  for (const { etag, size } of missing) {
    const partial = await sizeOf(`${blobFile(cacheDir, repo.id, etag)}.incomplete`);
    bytes += Math.max(0, size - (partial ?? 0));
  }
  return bytes;
}

/** Connections at a time: enough for many small files, few for the server. */
const atOnce = 4;

async function fetchMissing(
  { settings, repo, missing }: { settings: HubSettings; repo: RemoteRepo; missing: RepoFile[] },
  { forceDownload, onProgress, signal }: SnapshotOptions,
): Promise<void> {
  if (missing.length === 0) return;
  // Small ones first: what is wrong with a config is known before the weights come.
  const queue = [...new Map(missing.map((file) => [file.etag, file])).values()];
  queue.sort((a, b) => a.size - b.size);
  const report = progressOf(repo.id, queue, onProgress);
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  signal?.addEventListener("abort", abort, { once: true });
  if (signal?.aborted) abort();
  const work = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      await downloadBlob(
        settings,
        { repo, file },
        { force: forceDownload, signal: stop.signal, ...report(file) },
      );
    }
  };
  let failure: unknown = null;
  const workers = Array.from({ length: Math.min(atOnce, queue.length) }, () =>
    work().catch((error: unknown) => {
      failure ??= error;
      // The others end, so that nothing goes on behind an error.
      stop.abort();
    }),
  );
  await Promise.all(workers);
  signal?.removeEventListener("abort", abort);
  if (failure !== null) throw failure as Error;
}

/** Bytes over all files, told at most ten times a second. */
function progressOf(
  id: string,
  files: readonly RepoFile[],
  onProgress: OnProgress | undefined,
): (file: RepoFile) => { onBytes: (bytes: number) => void; onWait: () => void } {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const done = new Map<RepoFile, number>();
  let told = 0;
  const tell = (step: string): void => {
    const now = performance.now();
    const sum = [...done.values()].reduce((all, bytes) => all + bytes, 0);
    if (now - told < 100 && sum < total) return;
    told = now;
    onProgress?.({ step, done: sum, total, unit: "bytes" });
  };
  return (file) => ({
    onBytes: (bytes) => {
      done.set(file, bytes);
      tell(t("Downloading {0}", id));
    },
    onWait: () => {
      told = 0;
      tell(t("Waiting for another download of {0}", id));
    },
  });
}
