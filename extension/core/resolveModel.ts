import { t } from "@vscode/l10n";
import * as path from "node:path";
import { asGraftError, notFound, notOnMachine } from "./base/errors.ts";
import { isFile } from "./base/files.ts";
import { adapterConfigName, readAdapterConfig } from "./checkpoint/adapterConfig.ts";
import { searchBase } from "./checkpoint/findBase.ts";
import { hasWeightFiles } from "./checkpoint/weightFiles.ts";
import { isRepoId, repoIdOf } from "./hub/cache.ts";
import { adapterFolders, type HubPlace, modelFolder } from "./checkpoint/findAdapter.ts";

/** What a path or id names: a base, or an adapter and the base that it leads to. */
export interface ModelPlace {
  readonly base: string;
  /** The adapter's folder, when it was one that was named. */
  readonly adapter: string | null;
}

/**
 * Tells a base from an adapter, and finds the adapter's base. A folder with weights of its own is a
 * base, even when an adapter lies beside them.
 * @throws not-found, saying where the base of an adapter was looked for
 */
export async function resolveModel(pathOrId: string, place: HubPlace = {}): Promise<ModelPlace> {
  if (pathOrId.endsWith(".onnx")) return { base: pathOrId, adapter: null };
  const { folder } = await adapterFolders(pathOrId, place, "Base model");
  const isAdapter = await isFile(path.join(folder, adapterConfigName));
  if (!isAdapter || (await hasWeights(folder))) return { base: folder, adapter: null };
  return { base: await baseOfAdapter(folder, place), adapter: folder };
}

/** The folder of an adapter's base, downloaded where that is allowed. @throws not-found, saying what was tried */
export async function baseOfAdapter(adapter: string, place: HubPlace = {}): Promise<string> {
  const config = await readAdapterConfig(await modelFolder(adapter, place));
  const searched = await searchBase({ dir: adapter, config }, { cache: place.cacheDir });
  const [found, tried] = [searched.found, [...searched.tried]];
  const isPart = found !== null && repoIdOf(found) !== null && !(await hasWeightFiles(found));
  if (found !== null && !isPart) return found;
  const { baseName, file, revision } = config;
  if (baseName === null || baseName === "") {
    throw notFound(
      t("Base model"),
      file,
      t("It names none: choose the base that it was trained on."),
    );
  }
  if (isRepoId(baseName)) {
    const at = { ...place, subfolder: undefined, revision: revision ?? undefined };
    const fetched = await modelFolder(baseName, at, "Base model").catch((error: unknown) => {
      const { code, message } = asGraftError(error);
      if (code !== "not-found") throw error;
      tried.push(message.replace(/\.$/, ""));
      return null;
    });
    if (fetched !== null) return fetched;
  }
  throw notOnMachine(
    t(
      "Base model not found: {0}, which {1} names. Tried: {2}. Choose the base's folder.",
      baseName,
      file,
      tried.join("; "),
    ),
    {
      what: t("Base model"),
      where: baseName,
      hubId: isRepoId(baseName) ? baseName : undefined,
      revision,
    },
  );
}

async function hasWeights(folder: string): Promise<boolean> {
  if (!(await isFile(path.join(folder, "config.json")))) return false;
  return hasWeightFiles(folder);
}
