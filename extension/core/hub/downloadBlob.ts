import { t } from "@vscode/l10n";
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, statfs } from "node:fs/promises";
import * as path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import {
  asGraftError,
  cancelled,
  diskFull,
  throwIfAborted,
  unreachable,
  wrongBytes,
} from "../base/errors.ts";
import { showBytes } from "../base/progress.ts";
import { blobFile, lockFile, sizeOf } from "./cacheFiles.ts";
import { nameOf } from "./httpError.ts";
import { withLock } from "./lock.ts";
import { resolveUrl, subjectOf } from "./remoteFile.ts";
import type { RemoteRepo, RepoFile } from "./repo.ts";
import { bodyOf, hubRequest } from "./request.ts";
import type { HubSettings } from "./settings.ts";

export interface BlobOptions {
  /** Fetch it again although it is there. */
  readonly force?: boolean | undefined;
  /** Bytes of the file that are here by now; may fall when a download begins anew. */
  readonly onBytes: (bytes: number) => void;
  /** Another process is downloading it; this one waits. */
  readonly onWait?: (() => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Job extends BlobOptions {
  readonly settings: HubSettings;
  readonly repo: RemoteRepo;
  readonly file: RepoFile;
}

/** A connection that brought this much was no failure: the count of those begins anew. */
const worthwhile = 1024 * 1024;

/**
 * Brings a file's blob into the cache: into `<etag>.incomplete`, from where the last attempt ended,
 * and under its own name once size and hash are right.
 * @throws wrong-bytes, disk-full, cancelled, or what `hubRequest` throws; the cache stays valid
 */
export async function downloadBlob(
  settings: HubSettings,
  { repo, file }: { repo: RemoteRepo; file: RepoFile },
  options: BlobOptions,
): Promise<void> {
  const { cacheDir } = settings;
  const blob = blobFile(cacheDir, repo.id, file.etag);
  const { signal, onWait, force = false } = options;
  const lock = lockFile(cacheDir, repo.id, file.etag);
  const held = { ...(onWait && { onWait }), signal };
  const download = async (): Promise<void> => {
    // Whoever held the lock before may have brought it.
    if (!force && (await sizeOf(blob)) === file.size) return options.onBytes(file.size);
    await mkdir(path.dirname(blob), { recursive: true });
    await fill({ settings, repo, file, ...options }, blob);
  };
  await withLock(lock, download, held);
}

async function fill(job: Job, blob: string): Promise<void> {
  const partial = `${blob}.incomplete`;
  if (job.force) await rm(partial, { force: true });
  const hadPartial = (await sizeOf(partial)) !== null;
  for (let isSecond = false; ; isSecond = true) {
    const found = await fetchInto(job, partial).catch(async (error: unknown) => {
      if (asGraftError(error).code === "wrong-bytes") await rm(partial, { force: true });
      throw error;
    });
    if (found === job.file.etag) break;
    await rm(partial, { force: true });
    // A wrong start may be the remains of an earlier attempt; bytes of one go are the server's.
    if (hadPartial && !isSecond) continue;
    throw wrongBytes(
      t(
        "{0}: {1} is {2}, the Hub says {3}. What was downloaded has been removed; try again.",
        nameOf(subjectOf(job.repo, job.file)),
        hashName(job.file),
        found,
        job.file.etag,
      ),
      { file: job.file.path, expected: job.file.etag, found },
    );
  }
  await rename(partial, blob);
}

/** Fills the partial file to its size, over as many connections as it takes. @returns its hash */
async function fetchInto(job: Job, partial: string): Promise<string> {
  const { file, settings, signal, onBytes } = job;
  const handle = await open(partial, "a+");
  try {
    const have = (await handle.stat()).size;
    if (have > file.size) await handle.truncate(0);
    const state: State = { handle, hash: startHash(file), position: 0 };
    if (have > 0 && have <= file.size) await hashPartial(state, partial, { size: have, signal });
    onBytes(state.position);
    for (let failures = 0; state.position < file.size;) {
      const before = state.position;
      const problem = await fetchSome(job, state);
      if (problem === null) continue;
      failures = state.position - before >= worthwhile ? 0 : failures + 1;
      if (failures > settings.retries) throw problem;
      await pause(settings.retryDelay * 2 ** Math.max(0, failures - 1), signal);
    }
    await handle.sync();
    return state.hash.digest("hex");
  } finally {
    await handle.close();
  }
}

interface State {
  readonly handle: FileHandle;
  hash: Hash;
  position: number;
}

/**
 * One connection's worth of bytes.
 * @returns why it ended early, where another may go on; null when it brought all
 */
async function fetchSome(job: Job, state: State): Promise<Error | null> {
  const { settings, repo, file, signal, onBytes } = job;
  const about = subjectOf(repo, file);
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (state.position > 0) headers["range"] = `bytes=${state.position}-`;
  const url = resolveUrl(settings, repo, file);
  const response = await hubRequest(settings, url, {
    init: { headers },
    about,
    accept: [416],
    signal,
  });
  if (state.position > 0 && !continues(response, state.position)) await restart(job, state);
  if (response.status === 416) {
    await response.body?.cancel().catch(() => undefined);
    return lostOn(job, state, null);
  }
  try {
    for await (const part of bodyOf(response, settings, { about, signal })) {
      if (state.position + part.length > file.size) {
        await restart(job, state);
        throw tooLong(job);
      }
      await writeAll(state.handle, part);
      state.hash.update(part);
      state.position += part.length;
      onBytes(state.position);
    }
  } catch (error) {
    throwIfAborted(signal);
    if (isFull(error) || asGraftError(error).code === "wrong-bytes") throw error;
    return lostOn(job, state, error);
  }
  return state.position < file.size ? lostOn(job, state, null) : null;
}

/** Does an answer go on where the partial file ends? Some servers send the whole file again. */
function continues({ status, headers }: Response, position: number): boolean {
  if (status !== 206) return false;
  const start = /^bytes (\d+)-/.exec(headers.get("content-range") ?? "")?.[1];
  return Number(start) === position;
}

async function restart({ file, onBytes }: Job, state: State): Promise<void> {
  await state.handle.truncate(0);
  state.hash = startHash(file);
  state.position = 0;
  onBytes(0);
}

function lostOn({ repo, file }: Job, { position }: State, error: unknown): Error {
  const known = error === null ? null : asGraftError(error);
  if (known !== null && known.code !== "internal") return known;
  return unreachable(
    t(
      "{0}: the connection was cut at byte {1} of {2}. Try again: it goes on from there.",
      nameOf(subjectOf(repo, file)),
      position,
      file.size,
    ),
    { position, reason: known?.message ?? "" },
  );
}

function tooLong({ repo, file }: Job): Error {
  const what = t(
    "{0}: more bytes come than the {1} that the Hub says",
    nameOf(subjectOf(repo, file)),
    file.size,
  );
  return wrongBytes(t("{0}. What was downloaded has been removed; try again.", what), {
    file: file.path,
  });
}

function startHash({ etag, size }: RepoFile): Hash {
  // Git names a file by the SHA-1 of this head and its bytes; LFS by the SHA-256 of the bytes.
  return etag.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}

function hashName({ etag }: RepoFile): string {
  return etag.length === 64 ? t("the SHA-256") : t("git's SHA-1");
}

async function hashPartial(
  state: State,
  partial: string,
  { size, signal }: { size: number; signal: AbortSignal | undefined },
): Promise<void> {
  for await (const part of createReadStream(partial, { end: size - 1 })) {
    throwIfAborted(signal);
    state.hash.update(part as Buffer);
  }
  state.position = size;
}

async function writeAll(handle: FileHandle, part: Uint8Array): Promise<void> {
  for (let done = 0; done < part.length;) {
    const { bytesWritten } = await handle.write(part, done, part.length - done);
    done += bytesWritten;
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await wait(milliseconds, undefined, { ...(signal && { signal }) }).catch(() => {
    throw cancelled();
  });
}

/** Error codes of a write that found no room: the disk's, or the user's share of it. */
function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
}

/** Runs what writes into the cache; a disk without room becomes an error with a name. */
export async function withRoom<T>(
  cacheDir: string,
  what: string,
  action: () => Promise<T>,
): Promise<T> {
  return action().catch((error: unknown) => {
    if (!isFull(error)) throw error;
    throw diskFull(
      t(
        "No room on the disk of {0} for {1} ({2}). Free some and try again: it goes on from where it stopped.",
        cacheDir,
        what,
        (error as NodeJS.ErrnoException).code ?? "",
      ),
      { folder: cacheDir },
    );
  });
}

/** Refuses to begin what the disk has no room for. @param bytes what is still to come */
export async function requireRoom(cacheDir: string, bytes: number): Promise<void> {
  const disk = await statfs(cacheDir).catch(() => null);
  if (disk === null) return;
  const free = disk.bavail * disk.bsize;
  if (bytes <= free) return;
  throw diskFull(
    t(
      "No room on the disk of {0}: {1} are to be downloaded, {2} are free. Free some, or set HF_HUB_CACHE to a folder on another disk, and try again.",
      cacheDir,
      showBytes(bytes),
      showBytes(free),
    ),
    { folder: cacheDir, bytes, free },
  );
}
