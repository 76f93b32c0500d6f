/** Checkpoint folders: whole or not there, and known to be as they were written. */
import { t } from "@vscode/l10n";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import * as path from "node:path";
import { z } from "zod";
import { asGraftError, badFile, diskFull, isNoRoom } from "../base/errors.ts";
import { isFile, isFolder, writeAtomically } from "../base/files.ts";
import { parseFields, readJsonObject } from "../base/json.ts";
import type { DataPosition } from "./data/batch.ts";
import { type MadeOf, madeOf } from "./madeOf.ts";

/** What Graft adds to transformers' files. */
const ownName = "graft_state.json";

const own = z.looseObject({
  version: z.literal(1),
  position: z.object({ epoch: z.int().nonnegative(), batch: z.int().nonnegative() }),
  seed: z.int().nonnegative(),
  patience: z.int().nonnegative().default(0),
  madeOf: madeOf.optional(),
  files: z.record(z.string(), z.string()),
});

/** What a checkpoint says besides its tensors and transformers' state. */
export interface OwnState {
  readonly position: DataPosition;
  readonly seed: number;
  /** Evaluations since the loss last fell. */
  readonly patience: number;
  /** Absent in checkpoints of earlier versions. */
  readonly madeOf?: MadeOf | undefined;
}

export function checkpointName(step: number): string {
  return `checkpoint-${step}`;
}

/** The step of a checkpoint by its folder's name; null for another name. */
export function stepOf(name: string): number | null {
  const step = /^checkpoint-(\d+)$/.exec(name)?.[1];
  return step === undefined ? null : Number(step);
}

/** Checkpoints of a run by their steps, the last first. */
export async function checkpointsIn(run: string): Promise<{ step: number; folder: string }[]> {
  const names = await readdir(run).catch(() => []);
  const steps = names.flatMap((name) => stepOf(name) ?? []);
  return steps
    .sort((a, b) => b - a)
    .map((step) => ({ step, folder: path.join(run, checkpointName(step)) }));
}

/**
 * Writes a checkpoint beside its place and moves it there once every byte is on the disk.
 * @throws disk-full where there is no room; what was there before is as it was
 */
export async function writeCheckpoint(
  folder: string,
  state: OwnState,
  write: (scratch: string) => Promise<void>,
): Promise<void> {
  const scratch = path.join(path.dirname(folder), `.${path.basename(folder)}.part`);
  try {
    await rm(scratch, { recursive: true, force: true });
    await mkdir(scratch, { recursive: true });
    await write(scratch);
    const files: Record<string, string> = {};
    for (const name of (await readdir(scratch)).sort()) {
      files[name] = await digestOf(path.join(scratch, name));
    }
    const text = JSON.stringify({ version: 1, ...state, files }, null, 2);
    await writeAtomically(path.join(scratch, ownName), (handle) => handle.writeFile(`${text}\n`));
    await syncFolder(scratch);
    await replace(scratch, folder);
    await syncFolder(path.dirname(folder));
  } catch (error) {
    await rm(scratch, { recursive: true, force: true });
    if (!isNoRoom(error)) throw error;
    throw diskFull(
      t(
        "There is no room for {0}. Make room and continue: the checkpoints before it are kept.",
        folder,
      ),
      { folder },
    );
  }
}

/** A folder in the place of another, which is gone only then. */
async function replace(scratch: string, folder: string): Promise<void> {
  const old = path.join(path.dirname(folder), `.${path.basename(folder)}.old`);
  await rm(old, { recursive: true, force: true });
  if (await isFolder(folder)) await rename(folder, old);
  await rename(scratch, folder);
  await rm(old, { recursive: true, force: true });
}

/** Clears away what a run that died half-way has left: what was whole is put back, the rest goes. */
export async function tidyCheckpoints(run: string): Promise<void> {
  for (const name of await readdir(run).catch(() => [])) {
    const found = /^\.(checkpoint-\d+)\.(part|old)$/.exec(name);
    if (!found) continue;
    const [place, folder] = [path.join(run, name), path.join(run, found[1] as string)];
    if (found[2] === "old" && !(await isFolder(folder))) await rename(place, folder);
    else await rm(place, { recursive: true, force: true });
  }
}

/** Makes names durable; some systems cannot, and say so. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => null);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of createReadStream(file)) hash.update(part as Buffer);
  return hash.digest("hex");
}

/**
 * What Graft noted in a checkpoint, once every file was found to be as it was written.
 * @returns null for a checkpoint that another tool wrote
 * @throws bad-file for one that was changed, or is not whole
 */
export async function readOwnState(folder: string): Promise<OwnState | null> {
  const file = path.join(folder, ownName);
  if (!(await isFile(file))) return null;
  const state = parseFields(own, await readJsonObject(file), file);
  const { files, position, seed, patience, madeOf: made } = state;
  for (const [name, digest] of Object.entries(files)) {
    const place = path.join(folder, path.basename(name));
    const found = (await isFile(place)) ? await digestOf(place) : null;
    if (found === digest) continue;
    throw badFile(
      place,
      found === null ? t("is missing") : t("is not what was written"),
      t("Continue from the checkpoint before it."),
    );
  }
  return { position, seed, patience, madeOf: made };
}

/** The last checkpoint of a run that is whole; those after it that are not are named. */
export async function lastWhole(
  run: string,
): Promise<{ folder: string | null; skipped: readonly string[] }> {
  const skipped: string[] = [];
  for (const { folder } of await checkpointsIn(run)) {
    try {
      await readOwnState(folder);
      return { folder, skipped };
    } catch (error) {
      const { message, details } = asGraftError(error);
      const { file, problem } = details;
      const what =
        typeof file === "string" && typeof problem === "string"
          ? `${path.basename(file)} ${problem}`
          : message;
      skipped.push(t("{0} was passed over: {1}.", path.basename(folder), what.replace(/\.$/, "")));
    }
  }
  return { folder: null, skipped };
}

/**
 * Removes all but the last so many checkpoints. Never removed are the one that was just written and the
 * best one's; those behind what was just written were damaged, or of steps that are taken anew.
 */
export async function removeOld(
  run: string,
  limit: number,
  { written, best }: { written: number; best: number | null },
): Promise<void> {
  const all = await checkpointsIn(run);
  const kept = new Set(all.map(({ step }) => step).filter((s) => s === written || s === best));
  for (const { step } of all) if (kept.size < limit && step < written) kept.add(step);
  for (const { step, folder } of all) {
    if (!kept.has(step)) await rm(folder, { recursive: true, force: true });
  }
}
