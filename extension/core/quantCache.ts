import { t } from "@vscode/l10n";
import { createHash, randomBytes } from "node:crypto";
import {
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  utimes,
  writeFile,
} from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { homedir } from "node:os";
import * as path from "node:path";
import { z } from "zod";
import { notFound, throwIfAborted } from "./base/errors.ts";
import { noRoom } from "./noRoom.ts";
import { isFolder } from "./base/files.ts";
import { parseFields, readJsonObject } from "./base/json.ts";
import { isRunning } from "./base/processes.ts";
import { checksums } from "./safetensors/checksums.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors/read.ts";

/** Changes with what a file of the cache means, so that no version reads another's. */
const cacheFormat = 1;

const weightsName = "weights.safetensors";
const recordName = "entry.json";

const recordFields = z.looseObject({
  format: z.literal(cacheFormat),
  key: z.string(),
  model: z.string(),
  precision: z.string(),
  created: z.string(),
  size: z.int().nonnegative(),
  /** Of the file's header, of pieces of it, and of all of it. */
  headerSha256: z.string(),
  sampleSha256: z.string(),
  sha256: z.string(),
  report: z.unknown(),
});

type CacheRecord = z.infer<typeof recordFields>;

/** Quantized weights on disk, made once for a model and a precision. */
export interface QuantCacheEntry {
  readonly key: string;
  readonly folder: string;
  /** The model's name, for people. */
  readonly model: string;
  readonly precision: string;
  readonly bytes: number;
  readonly created: Date;
  readonly lastUsed: Date;
  /** A process runs on it now; clearing leaves it. */
  readonly isInUse: boolean;
}

/** The cache's place for programs without storage of their own: below the system's cache folder. */
export function defaultQuantCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  const own = env["GRAFT_CACHE"];
  if (own) return path.join(path.resolve(own), "quantized");
  const home = homedir();
  const caches: Partial<Record<NodeJS.Platform, string>> = {
    win32: env["LOCALAPPDATA"] ?? path.join(home, "AppData", "Local"),
    darwin: path.join(home, "Library", "Caches"),
  };
  const parent = caches[process.platform] ?? env["XDG_CACHE_HOME"] ?? path.join(home, ".cache");
  return path.join(parent, "graft", "quantized");
}

/** What the cache holds, most recently used first; what is broken is not listed, it is made anew when needed. */
export async function listQuantCache(dir: string): Promise<QuantCacheEntry[]> {
  const names = (await readdir(dir).catch((): string[] => [])).filter((name) => isKey(name));
  const entries = await Promise.all(names.map((name) => entryOf(path.join(dir, name))));
  return entries
    .flatMap((entry) => entry ?? [])
    .sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime());
}

/**
 * Removes entries, all or those of some keys; what a process runs on stays.
 * @returns what was removed and what was left
 */
export async function clearQuantCache(
  dir: string,
  { keys }: { keys?: readonly string[] } = {},
): Promise<{ removed: QuantCacheEntry[]; kept: QuantCacheEntry[] }> {
  await removeAbandoned(dir);
  const removed: QuantCacheEntry[] = [];
  const kept: QuantCacheEntry[] = [];
  for (const entry of await listQuantCache(dir)) {
    if (keys && !keys.includes(entry.key)) continue;
    const isGone = !entry.isInUse && (await discard(entry.folder));
    (isGone ? removed : kept).push(entry);
  }
  // What cannot be read is of no use to anybody.
  const listed = new Set([...removed, ...kept].map(({ key }) => key));
  const names = await readdir(dir).catch((): string[] => []);
  for (const name of keys ? [] : names.filter((each) => isKey(each) && !listed.has(each))) {
    await discard(path.join(dir, name));
  }
  return { removed, kept };
}

/** Weights of the cache that this process runs on. */
export interface CachedWeights {
  readonly file: SafetensorsFile;
  /** What was recorded when they were made. */
  readonly report: unknown;
  readonly isNew: boolean;
  /** Lets the cache be cleared again; sessions that map the file are closed before. */
  release(): Promise<void>;
}

export interface CacheRequest {
  readonly dir: string;
  readonly key: string;
  readonly model: string;
  readonly precision: string;
  /** Size of the file. */
  readonly bytes: number;
  /** Writes the file from its start and says what it wrote. */
  readonly write: (handle: FileHandle) => Promise<{ sha256: string; report: unknown }>;
  /** Told when a file was there but is damaged. */
  readonly onDamaged?: () => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Weights by their key: those of the cache once size and checksums agree, else made now, in a folder
 * of another name that takes its place when it is whole. Two processes may do so at once: the first
 * to end counts.
 * @throws disk-full before and while writing; cancelled leaves nothing
 */
export async function cachedWeights(request: CacheRequest): Promise<CachedWeights> {
  const { dir, key, onDamaged } = request;
  const folder = path.join(dir, key);
  await mkdir(dir, { recursive: true });
  await removeAbandoned(dir);
  const known = await knownWeights(folder, key);
  if (known) return known;
  if (await isFolder(folder)) {
    onDamaged?.();
    await discard(folder);
  }
  const partial = path.join(dir, `${key}.${process.pid}-${randomBytes(4).toString("hex")}.partial`);
  try {
    await mkdir(partial);
    await make(partial, request);
    await putInPlace(partial, folder);
    const made = await knownWeights(folder, key);
    if (!made)
      throw notFound(t("Quantized weights"), folder, t("They were removed; load the model again."));
    return { ...made, isNew: true };
  } catch (error) {
    throw readable(error, request);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function make(partial: string, request: CacheRequest): Promise<void> {
  const { key, model, precision, bytes, signal } = request;
  const { bavail, bsize } = await statfs(partial);
  const free = bavail * bsize;
  if (free < bytes) throw noRoom(request.dir, { needed: bytes, free });
  const file = path.join(partial, weightsName);
  const handle = await open(file, "wx");
  let written: { sha256: string; report: unknown };
  try {
    written = await request.write(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
  throwIfAborted(signal);
  const opened = await openSafetensors(file);
  const record: CacheRecord = {
    format: cacheFormat,
    key,
    model,
    precision,
    created: new Date().toISOString(),
    size: opened.size,
    ...(await checksums(opened)),
    ...written,
  };
  await writeFile(path.join(partial, recordName), JSON.stringify(record, null, 2), { flush: true });
}

/** Another process may have put its own there in the meantime: that one counts. */
async function putInPlace(partial: string, folder: string): Promise<void> {
  try {
    await rename(partial, folder);
  } catch (error) {
    const taken = ["ENOTEMPTY", "EEXIST", "EPERM", "EACCES"];
    if (!taken.includes((error as NodeJS.ErrnoException).code ?? "") || !(await isFolder(folder)))
      throw error;
  }
}

/** An entry as it stands, once its checksums agree; null when there is none or it is damaged. */
export async function knownWeights(folder: string, key: string): Promise<CachedWeights | null> {
  if (!(await isFolder(folder))) return null;
  // Marked before it is looked at, so that nobody clears it in between.
  const mark = path.join(folder, `in-use.${process.pid}-${randomBytes(4).toString("hex")}`);
  const release = (): Promise<void> => rm(mark, { force: true });
  try {
    await writeFile(mark, "");
    const record = await recordOf(folder);
    const file = await openSafetensors(path.join(folder, weightsName));
    const own = await checksums(file);
    const isWhole =
      record.key === key &&
      record.size === file.size &&
      record.headerSha256 === own.headerSha256 &&
      record.sampleSha256 === own.sampleSha256;
    if (isWhole) {
      const now = new Date();
      await utimes(path.join(folder, recordName), now, now);
      return { file, report: record.report, isNew: false, release };
    }
  } catch {
    // Whatever is wrong with it, it is made anew.
  }
  await release();
  return null;
}

async function recordOf(folder: string): Promise<CacheRecord> {
  const file = path.join(folder, recordName);
  return parseFields(recordFields, await readJsonObject(file), file);
}

async function entryOf(folder: string): Promise<QuantCacheEntry | null> {
  try {
    const record = await recordOf(folder);
    const { mtime } = await stat(path.join(folder, recordName));
    const { size } = await stat(path.join(folder, weightsName));
    return {
      key: record.key,
      folder,
      model: record.model,
      precision: record.precision,
      bytes: size,
      created: new Date(record.created),
      lastUsed: mtime,
      isInUse: await isInUse(folder),
    };
  } catch {
    return null;
  }
}

async function isInUse(folder: string): Promise<boolean> {
  let isUsed = false;
  for (const name of await readdir(folder)) {
    const id = /^in-use\.(\d+)-/.exec(name)?.[1];
    if (id === undefined) continue;
    if (isRunning(Number(id))) isUsed = true;
    // The process that left it is gone.
    else await rm(path.join(folder, name), { force: true });
  }
  return isUsed;
}

/** Takes a folder out of the cache in one step, then removes it; false where that is not possible. */
async function discard(folder: string): Promise<boolean> {
  const away = `${folder}.${process.pid}-${randomBytes(4).toString("hex")}.partial`;
  try {
    await rename(folder, away);
    await rm(away, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}

/** Removes what processes that are gone have left half-way. */
async function removeAbandoned(dir: string): Promise<void> {
  for (const name of await readdir(dir).catch((): string[] => [])) {
    const id = /\.(\d+)-[0-9a-f]+\.partial$/.exec(name)?.[1];
    if (id === undefined || isRunning(Number(id))) continue;
    await rm(path.join(dir, name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function isKey(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}

function readable(error: unknown, { dir, bytes }: CacheRequest): unknown {
  return (error as NodeJS.ErrnoException).code === "ENOSPC"
    ? noRoom(dir, { needed: bytes })
    : error;
}

/** SHA-256 of a value's JSON, for keys. */
export function digestOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}
