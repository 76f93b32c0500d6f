import { t } from "@vscode/l10n";
import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { asGraftError, notFound, notOnMachine, throwIfAborted } from "../base/errors.ts";
import { isFolder } from "../base/files.ts";
import { hubCacheFolder, isRepoId } from "../hub/cache.ts";
import { snapshotDownload, type SnapshotOptions } from "../hub/snapshot.ts";

/** Where a model that is named by its id is had, and whether it may be downloaded. */
export type HubPlace = Omit<SnapshotOptions, "kind" | "patterns">;

/**
 * Where a model lies on this machine, downloaded when it is an id that is not here, as PEFT does.
 * @param pathOrId a folder, or the id of a repository on the Hub; a folder wins, as in PEFT
 * @throws not-found, saying how it gets here, and what `snapshotDownload` throws
 */
export async function modelFolder(
  pathOrId: string,
  place: HubPlace = {},
  what: keyof typeof remedies = "Adapter",
): Promise<string> {
  if (await isFolder(pathOrId)) return realpath(pathOrId);
  if (!isRepoId(pathOrId)) throw notFound(what, pathOrId, remedies[what]);
  const kind = what === "Adapter" ? "adapter" : "model";
  const folder = await snapshotDownload(pathOrId, { ...place, kind }).catch((error: unknown) => {
    throwIfAborted(place.signal);
    throw absent(error, { id: pathOrId, place, what });
  });
  return realpath(folder);
}

const remedies = {
  Adapter: t("Choose a folder that holds adapter_config.json."),
  "Base model": t("Choose a folder that holds config.json and weights."),
};

/** Of an id that led nowhere: where it was looked for. Other errors of the Hub speak for themselves. */
function absent(
  error: unknown,
  { id, place, what }: { id: string; place: HubPlace; what: string },
): unknown {
  const { code, message, details } = asGraftError(error);
  // The Hub does not tell strangers whether a repository is private or none.
  const isUnknown =
    (code === "not-found" && details["what"] === t("Repository")) ||
    (code === "unauthorized" && details["hadToken"] === false);
  if (!isUnknown && code !== "unreachable") return error;
  const { revision, localFilesOnly, cacheDir = hubCacheFolder() } = place;
  const at = revision === undefined ? "" : t(" at revision {0}", revision);
  const where = t("It is neither a folder nor in the Hugging Face cache {0}", cacheDir);
  const why = localFilesOnly ? t("and nothing is downloaded here") : t("and {0}", lower(message));
  return notOnMachine(
    t(
      "{0} not found: {1}{2}. {3}, {4}. Run: graft download {5}, or hf download {6}",
      what,
      id,
      at,
      where,
      why.replace(/\.$/, ""),
      id,
      id,
    ),
    { what, where: id, hubId: id, revision, because: code },
  );
}

function lower(text: string): string {
  return text.replace(/^Repository not found: /, "not on the Hub: ");
}

/** An adapter's folder (or, of one that is no adapter, the model's own), and the folder of the whole model that it is in. */
export async function adapterFolders(
  modelId: string,
  place: HubPlace = {},
  what?: "Base model",
): Promise<{ folder: string; root: string }> {
  const root = await modelFolder(modelId, place, what);
  return { root, folder: place.subfolder ? path.join(root, place.subfolder) : root };
}
