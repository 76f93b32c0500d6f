import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { isFile } from "../base/files.ts";
import { findCachedRepo } from "../hub/cache.ts";
import type { AdapterCheckpoint } from "./adapterCheckpoint.ts";

/**
 * The folder that an adapter's `base_model_name_or_path` leads to on this machine: an absolute
 * path, a path relative to the adapter or to a folder above it, or a Hub id in the cache; null when
 * none of these holds a config.json.
 */
export async function findBaseFolder(
  { dir, config }: Pick<AdapterCheckpoint, "dir" | "config">,
  { cache }: { cache?: string } = {},
): Promise<string | null> {
  const name = config.baseName;
  if (name === null || name === "") return null;
  for (const candidate of localCandidates(dir, name)) {
    if (await isFile(path.join(candidate, "config.json"))) return realpath(candidate);
  }
  const snapshot = await findCachedRepo(name, { cache, revision: config.revision ?? undefined });
  return snapshot && (await isFile(path.join(snapshot, "config.json"))) ? realpath(snapshot) : null;
}

/** How far above the adapter a relative name is tried: <root>/adapters/<name>/<checkpoint>. */
const levelsAbove = 4;

function localCandidates(dir: string, name: string): string[] {
  if (path.isAbsolute(name)) return [name];
  const candidates: string[] = [];
  let folder = dir;
  for (let level = 0; level <= levelsAbove; level++) {
    candidates.push(path.join(folder, name));
    folder = path.dirname(folder);
  }
  return candidates;
}
