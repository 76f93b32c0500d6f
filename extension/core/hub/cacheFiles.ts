/**
 * The cache as huggingface_hub lays it out: blobs/<etag>, snapshots/<commit>/<path> leading to them,
 * refs/<revision> holding a commit, .no_exist/<commit>/<path> for what is known not to be there.
 */
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { isFile } from "../base/files.ts";
import { repoFolderName } from "./cache.ts";
import type { RemoteRepo, RepoFile } from "./repo.ts";

export function blobFile(cacheDir: string, id: string, etag: string): string {
  return path.join(cacheDir, repoFolderName(id), "blobs", etag);
}

export function lockFile(cacheDir: string, id: string, etag: string): string {
  // Beside huggingface_hub's own <etag>.lock, which is held in a way that Node has not (flock).
  return path.join(cacheDir, ".locks", repoFolderName(id), `${etag}.graft.lock`);
}

export function snapshotFolder(cacheDir: string, { id, commit }: RemoteRepo): string {
  return path.join(cacheDir, repoFolderName(id), "snapshots", commit);
}

function pointerFile(cacheDir: string, repo: RemoteRepo, file: RepoFile): string {
  return path.join(snapshotFolder(cacheDir, repo), ...file.path.split("/"));
}

/** Is the file here, whole: as a blob, or in the snapshot itself where links cannot be made? */
export async function isCached(
  cacheDir: string,
  repo: RemoteRepo,
  file: RepoFile,
): Promise<boolean> {
  const places = [blobFile(cacheDir, repo.id, file.etag), pointerFile(cacheDir, repo, file)];
  for (const place of places) if ((await sizeOf(place)) === file.size) return true;
  return false;
}

/** Bytes of a file; null when there is none. */
export async function sizeOf(file: string): Promise<number | null> {
  return stat(file).then(
    (found) => (found.isFile() ? found.size : null),
    () => null,
  );
}

/** Whether symbolic links can be made, by cache folder: on Windows mostly not. */
const linkable = new Map<string, Promise<boolean>>();

function canLink(cacheDir: string): Promise<boolean> {
  const known = linkable.get(cacheDir) ?? tryLink(cacheDir);
  linkable.set(cacheDir, known);
  return known;
}

async function tryLink(cacheDir: string): Promise<boolean> {
  if (/^(1|on|yes|true)$/i.test(process.env["HF_HUB_DISABLE_SYMLINKS"] ?? "")) return false;
  const link = path.join(cacheDir, `.link-${randomBytes(6).toString("hex")}`);
  return symlink("nowhere", link)
    .then(
      () => true,
      () => false,
    )
    .finally(() => rm(link, { force: true }));
}

/**
 * Puts a file into its snapshot: a relative link to its blob. Where links cannot be made the blob
 * itself moves there, as huggingface_hub does with a new one; one that was there is copied.
 */
export async function putIntoSnapshot(
  cacheDir: string,
  { repo, file, isNew }: { repo: RemoteRepo; file: RepoFile; isNew: boolean },
): Promise<void> {
  const pointer = pointerFile(cacheDir, repo, file);
  const blob = blobFile(cacheDir, repo.id, file.etag);
  const hasBlob = (await sizeOf(blob)) === file.size;
  if (!hasBlob || (!isNew && (await sizeOf(pointer)) === file.size)) return;
  await mkdir(path.dirname(pointer), { recursive: true });
  // Made beside it and renamed, so that nobody finds the place empty or half filled.
  const made = `${pointer}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    if (await canLink(cacheDir)) await symlink(path.relative(path.dirname(pointer), blob), made);
    else if (isNew) await rename(blob, made);
    else await copyFile(blob, made);
    await rename(made, pointer);
  } finally {
    await rm(made, { force: true });
  }
}

/** Says which commit a branch or tag is at. A commit needs no saying. */
export async function writeRef(
  cacheDir: string,
  { id, revision, commit }: RemoteRepo,
): Promise<void> {
  if (revision === commit) return;
  const file = path.join(cacheDir, repoFolderName(id), "refs", ...revision.split("/"));
  if ((await readFile(file, "utf8").catch(() => "")) === commit) return;
  await writeSmall(file, commit);
}

/** Notes what a commit does not have, which spares other readers of the cache a question. */
export async function noteAbsent(
  cacheDir: string,
  { id, commit }: RemoteRepo,
  absent: readonly string[],
): Promise<void> {
  const folder = path.join(cacheDir, repoFolderName(id), ".no_exist", commit);
  for (const name of absent) {
    const file = path.join(folder, ...name.split("/"));
    if (!(await isFile(file))) await writeSmall(file, "");
  }
}

/** The mark by which backup programs know a cache (bford.info/cachedir). */
export async function tagCache(cacheDir: string): Promise<void> {
  await mkdir(cacheDir, { recursive: true });
  const file = path.join(cacheDir, "CACHEDIR.TAG");
  if (await isFile(file)) return;
  await writeFile(file, cacheTag).catch(() => undefined);
}

const cacheTag = [
  "Signature: 8a477f597d28d172789f06886806bc55",
  "# This file is a cache directory tag of the Hugging Face Hub's cache.",
  "# See https://bford.info/cachedir/",
  "",
].join("\n");

async function writeSmall(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const made = `${file}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await writeFile(made, text);
    await rename(made, file);
  } finally {
    await rm(made, { force: true });
  }
}
