import { t } from "@vscode/l10n";
import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { isFile } from "../base/files.ts";
import { findCachedRepo, hubCacheFolder, isRepoId, repoFolderName } from "../hub/cache.ts";
import type { AdapterCheckpoint } from "./adapterCheckpoint.ts";

/** Where an adapter's base was looked for, and the folder in which it was found. */
export interface BaseSearch {
  readonly found: string | null;
  /** Folders, and the repository in the cache, in the order in which they were tried. */
  readonly tried: readonly string[];
}

/**
 * The folder that an adapter's `base_model_name_or_path` leads to on this machine; null when none of
 * the places that `searchBase` tries holds a config.json.
 */
export async function findBaseFolder(
  adapter: Pick<AdapterCheckpoint, "dir" | "config">,
  at: { cache?: string; isThere?: (file: string) => boolean } = {},
): Promise<string | null> {
  return (await searchBase(adapter, at)).found;
}

/**
 * Looks for an adapter's base: an absolute path, a path relative to the adapter or to a folder above
 * it, a Hub id in the cache at the config's revision; then, for a path of another machine and for an
 * id, a folder of that name beside the adapter or beside a folder above it.
 */
export async function searchBase(
  { dir, config }: Pick<AdapterCheckpoint, "dir" | "config">,
  {
    cache = hubCacheFolder(),
    isThere,
  }: {
    cache?: string | undefined;
    /** Whether a file exists, where many adapters ask for the same ones. */
    isThere?: ((file: string) => boolean) | undefined;
  } = {},
): Promise<BaseSearch> {
  const { baseName: name, revision } = config;
  const tried: string[] = [];
  if (name === null || name === "") return { found: null, tried };
  const isBase = async (folder: string): Promise<boolean> => {
    if (tried.includes(folder)) return false;
    tried.push(folder);
    const file = path.join(folder, "config.json");
    return isThere ? isThere(file) : isFile(file);
  };
  for (const candidate of localCandidates(dir, name)) {
    if (await isBase(candidate)) return { found: await realpath(candidate), tried };
  }
  // A cache that is nowhere need not be asked once for every adapter.
  if (isRepoId(name) && (isThere?.(path.join(cache, repoFolderName(name))) ?? true)) {
    const snapshot = await findCachedRepo(name, { cache, revision: revision ?? undefined });
    tried.push(
      t(
        "{0}{1} in the Hugging Face cache {2}",
        name,
        revision ? t(" at {0}", revision) : "",
        cache,
      ),
    );
    const isThere = snapshot !== null && (await isFile(path.join(snapshot, "config.json")));
    if (isThere) return { found: await realpath(snapshot), tried };
  }
  for (const candidate of sameNameCandidates(dir, name)) {
    if (await isBase(candidate)) return { found: await realpath(candidate), tried };
  }
  return { found: null, tried };
}

/** The ends of a path or id, the longest first, from the folders above the adapter. */
function sameNameCandidates(dir: string, name: string): string[] {
  const parts = name.split(/[/\\]/).filter((part) => part !== "" && !/^\.{1,2}$|:$/.test(part));
  const ends = parts.slice(1).map((_, i) => path.join(...parts.slice(i + 1)));
  return ends.flatMap((end) => localCandidates(path.dirname(dir), end));
}

/** How far above the adapter a relative name is tried: <root>/adapters/<name>/<checkpoint>. */
const levelsAbove = 4;

/** A path as it is when absolute, else from a folder and from those above it. */
export function localCandidates(dir: string, name: string): string[] {
  if (path.isAbsolute(name)) return [name];
  const candidates: string[] = [];
  let folder = dir;
  for (let level = 0; level <= levelsAbove; level++) {
    candidates.push(path.join(folder, name));
    folder = path.dirname(folder);
  }
  return candidates;
}
