/** The base's name in the config of an adapter that is made of others, in a folder of its own. */
import { applyEdits, modify } from "jsonc-parser";
import { isRepoId, repoIdOf } from "../hub/cache.ts";
import type { AdapterCheckpoint } from "./adapterCheckpoint.ts";
import { findBaseFolder } from "./findBase.ts";

type Source = Pick<AdapterCheckpoint, "dir" | "config">;

/** Where the new adapter will be, and its base as far as it is known. */
interface NewPlace {
  readonly target: string;
  /** Real path of the base's folder; where the source's config leads when absent. */
  readonly base?: string | undefined;
  /** Folder of the Hugging Face cache, when not the usual one. */
  readonly cache?: string | undefined;
}

/**
 * The `base_model_name_or_path` with which an adapter in `target` finds the base of its source: the
 * source's own where it leads there from both folders or is a Hub id, else the base's id or real path.
 */
export async function baseNameFor(
  source: Source,
  { target, base, ...at }: NewPlace,
): Promise<string | null> {
  const { baseName } = source.config;
  const fromSource = await findBaseFolder(source, at);
  const fromTarget = await findBaseFolder({ ...source, dir: target }, at);
  const isHubId = fromSource === null && baseName !== null && isRepoId(baseName);
  // An id that is not on this machine, or a name that leads to the same base from both folders.
  if (isHubId || (fromSource !== null && fromTarget === fromSource)) return baseName;
  const folder = base ?? fromSource;
  return folder === null ? baseName : (repoIdOf(folder) ?? folder);
}

/** An adapter_config.json's text with another base, all else as it is. */
export function withBaseName(text: string, name: string): string {
  const formattingOptions = { insertSpaces: true, tabSize: 2 };
  return applyEdits(text, modify(text, ["base_model_name_or_path"], name, { formattingOptions }));
}
