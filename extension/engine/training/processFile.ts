/** `process.json`: the process that trains in a run's folder, for as long as it lives. */
import { randomBytes } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { t } from "@vscode/l10n";
import { badRequest } from "../../core/base/errors.ts";
import { isRunning } from "../../core/base/processes.ts";
import { processFile } from "../../protocol/runProcessFile.ts";
import type { RunProcess } from "../../protocol/runsContract.ts";
import { isSocketOfRun } from "./runServer.ts";

/**
 * The process that trains here, where it lives. An id alone says nothing, another program may have it by
 * now: the process must listen, too.
 */
export async function readProcess(folder: string): Promise<RunProcess | null> {
  const known = parsed(await readFile(processFile(folder), "utf8").catch(() => ""));
  return known && (await isAlive(known)) ? known : null;
}

/** @throws bad-request where another process trains in the folder; of two at once one gets it */
export async function claimFolder(folder: string, own: RunProcess): Promise<void> {
  const file = processFile(folder);
  const text = `${JSON.stringify(own, null, 2)}\n`;
  for (let attempt = 0; attempt < 40; attempt++) {
    try {
      return await writeFile(file, text, { flag: "wx", flush: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw await withoutTrace(file, error);
    }
    const found = await readFile(file, "utf8").catch(() => "");
    const other = parsed(found);
    if (other && (await isAlive(other))) throw taken(folder, other);
    // What is empty may be written at this moment.
    if (other || attempt >= 20) await putAside(file, found);
    else await delay(50);
  }
  throw badRequest(t("{0} cannot be written. Remove it and try again.", file));
}

/** Half of a file that says nothing would keep others out. */
async function withoutTrace(file: string, error: unknown): Promise<unknown> {
  await rm(file, { force: true }).catch(() => undefined);
  return error;
}

/** Takes away what a process left that is gone, unless another one has put its own there meanwhile. */
async function putAside(file: string, expected: string): Promise<void> {
  const aside = `${file}.${randomBytes(4).toString("hex")}.old`;
  await rename(file, aside).catch(() => undefined);
  const found = await readFile(aside, "utf8").catch(() => null);
  if (found !== null && found !== expected) await rename(aside, file);
  await rm(aside, { force: true });
}

export async function releaseFolder(folder: string): Promise<void> {
  const known = parsed(await readFile(processFile(folder), "utf8").catch(() => ""));
  if (known === null || known.pid === process.pid) await rm(processFile(folder), { force: true });
}

function taken(folder: string, { pid }: RunProcess): Error {
  return badRequest(t("Process {0} trains in {1} already. Wait for it, or stop it.", pid, folder));
}

function parsed(text: string): RunProcess | null {
  try {
    const known = JSON.parse(text) as Partial<RunProcess> | null;
    const { pid, socket } = known ?? {};
    return typeof pid === "number" && typeof socket === "string" && isSocketOfRun(socket)
      ? (known as RunProcess)
      : null;
  } catch {
    return null;
  }
}

async function isAlive({ pid, socket }: RunProcess): Promise<boolean> {
  return isRunning(pid) && (await listens(socket));
}

/** How long a busy process may take to accept a connection, in milliseconds. */
const patience = 2000;

function listens(where: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(where);
    const answer = (is: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      done(is);
    };
    const timer = setTimeout(answer, patience, true);
    socket.once("connect", () => answer(true));
    // Too many at once are waited for by somebody.
    socket.once("error", ({ code }: NodeJS.ErrnoException) => answer(code === "EAGAIN"));
  });
}
