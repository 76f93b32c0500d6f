import { t } from "@vscode/l10n";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import * as path from "node:path";
import { badRequest, throwIfAborted } from "./base/errors.ts";
import { isFile } from "./base/files.ts";

/** A file of an adapter's folder; `write` is given a place of the same name in a scratch folder. */
export interface PlannedFile {
  /** Relative to the folder. */
  readonly name: string;
  readonly write: (place: string) => Promise<void>;
}

export interface FolderPlan {
  readonly files: readonly PlannedFile[];
  /** Files, relative to the folder, that are an adapter's: replaced or removed only when agreed to. */
  readonly owned: readonly string[];
}

/**
 * Writes files into a folder: all or none. They are made beside it in a scratch folder, then take
 * their places; what stood there comes back when one of them cannot.
 * @returns the paths written, in the order of the plan
 * @throws bad-request when an owned file is there already and `overwrite` is not set
 */
export async function writeFolder(
  folder: string,
  { files, owned }: FolderPlan,
  { overwrite = false, signal }: { overwrite?: boolean; signal?: AbortSignal },
): Promise<string[]> {
  const target = path.resolve(folder);
  if (!overwrite) await refuseOwned(target, owned);
  const made = await mkdir(target, { recursive: true });
  const scratch = await mkdtemp(path.join(target, ".graft-"));
  try {
    for (const { name, write } of files) {
      throwIfAborted(signal);
      await write(path.join(scratch, "new", name));
    }
    throwIfAborted(signal);
    const names = files.map(({ name }) => name);
    await exchange(target, scratch, { names, gone: owned.filter((name) => !names.includes(name)) });
    return names.map((name) => path.join(target, name));
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await removeEmpty(target, made);
  }
}

async function refuseOwned(target: string, owned: readonly string[]): Promise<void> {
  for (const name of owned) {
    const file = path.join(target, name);
    if (await isFile(file)) throw badRequest(t("{0} exists already. Choose another folder.", file));
  }
}

/** Puts new files in their places and takes away those that are gone, or leaves all as it was. */
async function exchange(
  target: string,
  scratch: string,
  { names, gone }: { names: readonly string[]; gone: readonly string[] },
): Promise<void> {
  const undo: (() => Promise<void>)[] = [];
  const move = async (from: string, to: string): Promise<void> => {
    const made = await mkdir(path.dirname(to), { recursive: true });
    if (made !== undefined) undo.push(() => rm(made, { recursive: true, force: true }));
    await rename(from, to);
    undo.push(() => rename(to, from));
  };
  try {
    for (const name of [...names, ...gone]) {
      const place = path.join(target, name);
      if (await isFile(place)) await move(place, path.join(scratch, "old", name));
      if (names.includes(name)) await move(path.join(scratch, "new", name), place);
    }
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw error;
  }
}

/** Takes back the folders that were made for what was not written. */
async function removeEmpty(folder: string, made: string | undefined): Promise<void> {
  if (made === undefined || (await readdir(folder)).length > 0) return;
  await rm(folder, { recursive: true });
  if (folder !== path.resolve(made)) await removeEmpty(path.dirname(folder), made);
}
