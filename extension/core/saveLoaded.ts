import { t } from "@vscode/l10n";
import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { badRequest } from "./base/errors.ts";
import type { BaseModel } from "./baseModel.ts";
import { openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import type { LoadedAdapter } from "./loadAdapter.ts";
import type { LoadedAdapters } from "./loadedAdapters.ts";
import { saveAdapters, type SaveOptions } from "./savePretrained.ts";

/**
 * Writes loaded adapters, "default" into the folder itself, others into a subfolder of their name.
 * @returns the paths of all files written
 * @throws bad-request when another loaded adapter is read from there
 */
export async function saveLoaded(
  loaded: LoadedAdapters,
  adapters: readonly { name: string; own: LoadedAdapter }[],
  { folder, base, ...options }: SaveOptions & { folder: string; base: BaseModel },
): Promise<string[]> {
  const replaced: LoadedAdapter[] = [];
  for (const { name, own } of adapters) {
    const target = path.join(folder, name === "default" ? "" : name);
    const dir = await realpath(target).catch(() => path.resolve(target));
    const there = loaded.list.filter(({ checkpoint }) => checkpoint.dir === dir);
    const other = there.find((each) => each.checkpoint !== own.checkpoint);
    if (other)
      throw badRequest(t('"{0}" is loaded from {1}. Choose another folder.', other.name, dir));
    replaced.push(...there);
  }
  const { checkpoint, adaptable } = base;
  const parts = adapters.map(({ name, own }) => ({ name, checkpoint: own.checkpoint }));
  const at = { ...options, checkpoint, tree: adaptable.tree };
  const files = await saveAdapters(parts, folder, at);
  // An adapter that is saved over its own folder is read from other files from now on.
  for (const { name, checkpoint: old } of files.length > 0 ? replaced : []) {
    const adapter = loaded.find(name);
    const reopened = await openAdapterCheckpoint(old.dir);
    if (adapter?.checkpoint === old) loaded.put({ ...adapter, checkpoint: reopened });
  }
  return files;
}
