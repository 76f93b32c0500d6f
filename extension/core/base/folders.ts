import { t } from "@vscode/l10n";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import * as path from "node:path";
import { badRequest } from "./errors.ts";

/**
 * Makes room for a new folder: the one above it is there afterwards.
 * @throws bad-request when something has its name already
 */
export async function refuseTaken(folder: string): Promise<void> {
  const parent = path.dirname(folder);
  await mkdir(parent, { recursive: true });
  if (!(await readdir(parent)).includes(path.basename(folder))) return;
  throw badRequest(t("{0} exists already. Choose a folder that does not.", folder));
}

/**
 * Makes a folder whole or not at all: `fill` fills one beside it, which then takes its name; a
 * failure leaves nothing behind. What had the name before gives way only where `replaces` says so.
 * @param fill gets the path of an empty folder
 */
export async function createFolder<T>(
  folder: string,
  fill: (partial: string) => Promise<T>,
  { replaces = false }: { replaces?: boolean } = {},
): Promise<T> {
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  try {
    const written = await fill(partial);
    if (replaces) await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
    return written;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

/** All files below a folder, by their paths in it, and the bytes that they hold together. */
export async function filesIn(folder: string): Promise<{ files: string[]; bytes: number }> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
  const sizes = await Promise.all(files.map((file) => stat(path.join(folder, file))));
  return { files, bytes: sizes.reduce((sum, { size }) => sum + size, 0) };
}
