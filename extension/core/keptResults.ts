/**
 * Results that take long and follow from files alone, kept on disk as JSON by a key made of what they
 * follow from. Two processes may do so at once: a file is written under another name, then renamed.
 */
import { readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import * as path from "node:path";
import { writeAtomically } from "./base/files.ts";
import { digestOf } from "./quantCache.ts";

export interface KeptResults {
  /** Nothing is kept without one. */
  readonly folder: string | undefined;
  /** Whatever the result follows from. */
  readonly key: unknown;
}

/** Above one of these the least recently used go. */
const keptLimits = { files: 500, bytes: 64_000_000 };

/** A result of before by its key, else one that is computed now and kept. */
export async function keptResult<T extends object>(
  { folder, key }: KeptResults,
  compute: () => Promise<T>,
): Promise<T & { fromCache: boolean }> {
  const file = folder === undefined ? null : path.join(folder, `${digestOf(key)}.json`);
  const known = file && (await readKept<T>(file));
  if (known) return { ...known, fromCache: true };
  const result = await compute();
  if (file && folder !== undefined) {
    // A result that cannot be kept is a result all the same.
    await writeAtomically(file, (handle) => handle.writeFile(JSON.stringify(result)))
      .then(() => removeOldest(folder))
      .catch(() => undefined);
  }
  return { ...result, fromCache: false };
}

async function readKept<T>(file: string): Promise<T | null> {
  try {
    const value = JSON.parse(await readFile(file, "utf8")) as T | null;
    if (value === null || typeof value !== "object") return null;
    const now = new Date();
    await utimes(file, now, now).catch(() => undefined);
    return value;
  } catch {
    // Damaged or not there: it is computed anew.
    return null;
  }
}

async function removeOldest(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /^[0-9a-f]{64}\.json/.test(name));
  const found = await Promise.all(
    names.map(async (name) => {
      const file = path.join(folder, name);
      const { size, mtimeMs } = await stat(file).catch(() => ({ size: 0, mtimeMs: 0 }));
      return { file, size, mtimeMs };
    }),
  );
  let [files, bytes] = [0, 0];
  for (const { file, size } of found.sort((a, b) => b.mtimeMs - a.mtimeMs)) {
    files++;
    bytes += size;
    if (files > keptLimits.files || bytes > keptLimits.bytes) await rm(file, { force: true });
  }
}
