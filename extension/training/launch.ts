import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { t } from "@vscode/l10n";
import { HostError } from "../failure.ts";
import type { RunProcess } from "../protocol/trainingContract.ts";

export interface LaunchOptions {
  /** The bundle of the run's process. */
  program: string;
  /** Of the texts in the editor's language; "" for English. */
  l10n: string;
  /** Milliseconds until the process must have said where it listens. */
  limit?: number;
}

/**
 * Starts the process of a run, which outlives the window. What it prints goes to `output.log` of its
 * folder; resolves when it listens.
 */
export async function launchRun(folder: string, options: LaunchOptions): Promise<RunProcess> {
  const { program, l10n, limit = 30_000 } = options;
  const output = openSync(join(folder, "output.log"), "a");
  const child = spawn(process.execPath, [program, folder], {
    cwd: folder,
    env: { ...process.env, ELECTRON_RUN_AS_NODE: "1", GRAFT_L10N: l10n },
    stdio: ["ignore", output, output],
    detached: true,
    windowsHide: true,
  });
  closeSync(output);
  let ended: string | undefined;
  child.once("error", (error) => (ended = error.message));
  child.once("exit", (code, signal) => (ended ??= signal ?? t("exit code {0}", String(code))));
  child.unref();
  for (const start = Date.now(); Date.now() - start < limit; await delay(50)) {
    const known = await readProcess(folder);
    if (known?.pid === child.pid) return known as RunProcess;
    if (ended !== undefined) throw notStarted(ended, folder);
  }
  child.kill();
  throw notStarted(t("it did not answer within {0} s", limit / 1000), folder);
}

/** What a run's folder says of its process; null when there is none, or when it cannot be read. */
export async function readProcess(folder: string): Promise<RunProcess | null> {
  try {
    const known = JSON.parse(await readFile(join(folder, "process.json"), "utf8")) as RunProcess;
    return typeof known.pid === "number" && typeof known.socket === "string" ? known : null;
  } catch {
    return null;
  }
}

function notStarted(reason: string, folder: string): HostError {
  const file = join(folder, "output.log");
  return new HostError(
    "internal",
    t("The run's process did not start ({0}). What it said stands in {1}.", reason, file),
    { file },
  );
}
