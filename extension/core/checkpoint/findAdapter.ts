import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { notFound } from "../base/errors.ts";
import { isFolder } from "../base/files.ts";
import { findCachedRepo, hubCacheFolder, isRepoId } from "../hub/cache.ts";

export interface HubPlace {
  readonly subfolder?: string | undefined;
  /** Branch, tag or commit; "main" when absent. */
  readonly revision?: string | undefined;
  /** Folder of the cache; the environment says which when absent. */
  readonly cacheDir?: string | undefined;
}

/**
 * Where a model lies on this machine.
 * @param pathOrId a folder, or "owner/name" in the Hugging Face cache; a folder wins, as in PEFT
 * @throws not-found, which for an id that is not in the cache says how it gets there
 */
export async function modelFolder(
  pathOrId: string,
  { revision, cacheDir }: HubPlace = {},
  what: keyof typeof remedies = "Adapter",
): Promise<string> {
  if (await isFolder(pathOrId)) return realpath(pathOrId);
  const cache = cacheDir ?? hubCacheFolder();
  if (isRepoId(pathOrId)) {
    const snapshot = await findCachedRepo(pathOrId, { cache, revision });
    if (snapshot !== null) return realpath(snapshot);
    const at = revision === undefined ? "" : ` at revision ${revision}`;
    throw notFound(
      what,
      `${pathOrId}${at}`,
      `It is neither a folder nor in the Hugging Face cache ${cache}, and this version of Graft ` +
        `downloads nothing. Run: hf download ${pathOrId}`,
    );
  }
  throw notFound(what, pathOrId, remedies[what]);
}

const remedies = {
  Adapter: "Choose a folder that holds adapter_config.json.",
  "Base model": "Choose a folder that holds config.json and *.safetensors.",
};

/** An adapter's folder (or, of one that is no adapter, the model's own), and the folder of the whole model that it is in. */
export async function adapterFolders(
  modelId: string,
  place: HubPlace = {},
  what?: "Base model",
): Promise<{ folder: string; root: string }> {
  const root = await modelFolder(modelId, place, what);
  return { root, folder: place.subfolder ? path.join(root, place.subfolder) : root };
}
