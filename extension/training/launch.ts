import { spawn } from "node:child_process";
import { closeSync, fstatSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { t } from "@vscode/l10n";
import { HostError } from "../failure.ts";
import { readProcessFile } from "../protocol/runProcessFile.ts";
import type { RunProcess } from "../protocol/runsContract.ts";

export interface LaunchOptions {
  /** The bundle of the run's process. */
  program: string;
  /** Of the texts in the editor's language; "" for English. */
  l10n: string;
  /** Folder in which training data are kept as tokens. */
  tokens: string;
  /** Folder in which rounded weights are kept. */
  quantized: string;
  /** Milliseconds until the process must have said where it listens. */
  limit?: number;
}

/**
 * Starts the process of a run, which outlives the window. What it prints goes to `output.log` of its
 * folder; resolves when it listens.
 */
export async function launchRun(folder: string, options: LaunchOptions): Promise<RunProcess> {
  const { program, l10n, tokens, quantized, limit = 30_000 } = options;
  const told = { GRAFT_L10N: l10n, GRAFT_TOKENS: tokens, GRAFT_QUANTIZED: quantized };
  const output = openSync(outputFile(folder), "a");
  const before = fstatSync(output).size;
  const child = spawn(process.execPath, [program, folder], {
    cwd: folder,
    env: { ...process.env, ELECTRON_RUN_AS_NODE: "1", ...told },
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
    const known = await readProcessFile(folder);
    if (known && known.pid === child.pid) return known;
    if (ended !== undefined) throw notStarted(await said(folder, before, ended), folder);
  }
  child.kill();
  throw notStarted(t("it did not answer within {0} s", limit / 1000), folder);
}

function outputFile(folder: string): string {
  return join(folder, "output.log");
}

/** The last line that the process printed, else how it ended. */
async function said(folder: string, from: number, ended: string): Promise<string> {
  const text = await readFile(outputFile(folder)).catch(() => Buffer.alloc(0));
  const lines = text.subarray(from).toString("utf8").trim().split("\n");
  return lines.at(-1)?.replace(/\.$/, "") || ended;
}

function notStarted(reason: string, folder: string): HostError {
  const file = outputFile(folder);
  return new HostError(
    "internal",
    t("The run's process did not start ({0}). What it said stands in {1}.", reason, file),
    { file },
  );
}
