import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import * as path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { cancelled, throwIfAborted } from "../base/errors.ts";

/** How often a holder shows that it lives, and after how long without a sign it counts as dead. */
const beat = 2000;
const longestSilence = 30_000;

export interface LockOptions {
  /** Called once when another process holds the lock. */
  readonly onWait?: () => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs an action that no other process of this machine, nor of one that shares the folder, runs at
 * the same time. The lock of a process that has died is taken over.
 */
export async function withLock<T>(
  file: string,
  action: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const owner = `${process.pid} ${hostname()} ${randomBytes(8).toString("hex")}`;
  await mkdir(path.dirname(file), { recursive: true });
  await acquire(file, owner, options);
  const heart = setInterval(() => {
    const now = new Date();
    void utimes(file, now, now).catch(() => undefined);
  }, beat);
  heart.unref();
  try {
    return await action();
  } finally {
    clearInterval(heart);
    if ((await ownerOf(file)) === owner) await rm(file, { force: true });
  }
}

async function acquire(
  file: string,
  owner: string,
  { onWait, signal }: LockOptions,
): Promise<void> {
  for (let hasWaited = false; ; hasWaited = true) {
    throwIfAborted(signal);
    const isMine = await writeFile(file, owner, { flag: "wx" }).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "EEXIST") return false;
        throw error;
      },
    );
    if (isMine) return;
    const holder = await ownerOf(file);
    if (holder !== null && (await isDead(file, holder))) {
      await takeAway(file, holder);
      continue;
    }
    if (!hasWaited) onWait?.();
    await wait(100, undefined, { ...(signal && { signal }) }).catch(() => {
      throw cancelled();
    });
  }
}

async function ownerOf(file: string): Promise<string | null> {
  return readFile(file, "utf8").catch(() => null);
}

async function isDead(file: string, holder: string): Promise<boolean> {
  const [pid = "", host = ""] = holder.split(" ");
  if (host === hostname() && /^\d+$/.test(pid) && !isRunning(Number(pid))) return true;
  const seen = await stat(file).catch(() => null);
  return seen !== null && Date.now() - seen.mtimeMs > longestSilence;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Removes a dead lock. Two may try: whoever moved a live one away by mistake puts it back. */
async function takeAway(file: string, dead: string): Promise<void> {
  const aside = `${file}.${randomBytes(6).toString("hex")}`;
  const isMoved = await rename(file, aside).then(
    () => true,
    () => false,
  );
  if (!isMoved) return;
  if ((await ownerOf(aside)) !== dead) await link(aside, file).catch(() => undefined);
  await rm(aside, { force: true });
}
