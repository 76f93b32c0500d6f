import { t } from "@vscode/l10n";
import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { badRequest } from "./base/errors.ts";
import type { BaseModel } from "./baseModel.ts";
import type { LoadedAdapters } from "./loadedAdapters.ts";
import { combineAdapters } from "./peft/combine.ts";
import type { CombineOptions } from "./peft/combine/options.ts";
import { saveCombined } from "./savePretrained.ts";

/** PEFT's arguments of add_weighted_adapter, and where the new adapter is kept. */
export interface CombineLoadedOptions extends CombineOptions {
  readonly folder: string;
  /** Replace an adapter that is in the folder already; without it that is an error. */
  readonly overwrite?: boolean;
  /** Name the base so that the new folder leads to it, where PEFT keeps a name relative to the first adapter's. */
  readonly leadToBase?: boolean;
}

/**
 * Makes a new adapter of loaded ones and writes it into a folder of its own.
 * @param weights one for each of `names`
 * @returns sentences on what was unusual
 * @throws bad-request for a folder that a loaded adapter is read from; what `combineAdapters` throws
 */
export async function combineLoaded(
  { loaded, base }: { loaded: LoadedAdapters; base: BaseModel },
  { names, weights }: { names: readonly string[]; weights: readonly number[] },
  { folder, overwrite = false, leadToBase = false, ...options }: CombineLoadedOptions,
): Promise<readonly string[]> {
  const { signal } = options;
  if (names.length !== weights.length) {
    throw badRequest(t("{0} adapters are named with {1} weights.", names.length, weights.length));
  }
  const target = await realpath(folder).catch(() => path.resolve(folder));
  const own = loaded.list.find(({ checkpoint }) => checkpoint.dir === target);
  if (own)
    throw badRequest(t('"{0}" is loaded from {1}. Choose another folder.', own.name, target));
  const sources = names.map((name, i) => {
    const { checkpoint } = loaded.require(name);
    return { name, weight: weights[i] as number, checkpoint };
  });
  const combined = await combineAdapters(sources, options, base.adaptable);
  const { checkpoint: first } = sources[0] as (typeof sources)[0];
  const at = { first, base: base.checkpoint.dir, leadToBase, overwrite };
  await saveCombined(combined, folder, { ...at, ...(signal && { signal }) });
  return combined.warnings;
}
