// Runs in a window's workspace, as a form would have made them, and their processes.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RunConfig } from "../../extension/protocol/trainingContract.ts";
import type { RunEvent } from "../../extension/protocol/runsContract.ts";
import { sampleRun, type SampleWish } from "../support/sampleRun.ts";
import { scenario, type OpenOptions, type VSCode } from "./harness.ts";

export function runFolder(vscode: VSCode, name: string): string {
  return join(vscode.folders.workspace, "graft-runs", name);
}

/** A run that has not begun: the Runs view offers to continue it. */
export function writeRun(vscode: VSCode, name: string, wish: SampleWish = {}): string {
  const folder = runFolder(vscode, name);
  mkdirSync(folder, { recursive: true });
  const config: RunConfig = { ...sampleRun(name, wish), base: sampleBaseOf(vscode) };
  writeFileSync(join(folder, "run.json"), JSON.stringify(config));
  return folder;
}

/** The sample base that the window's own extension brings. */
function sampleBaseOf({ folders: { extensions } }: VSCode): string {
  const places = readdirSync(extensions).map((name) => join(extensions, name, "media/sample/base"));
  const found = places.find((place) => existsSync(place));
  if (found === undefined) throw new Error(`no sample base below ${extensions}`);
  return found;
}

export function eventsIn(folder: string): RunEvent[] {
  const file = join(folder, "log.jsonl");
  const lines = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  // The last line may be half written.
  return lines.flatMap((line) => {
    try {
      return [JSON.parse(line) as RunEvent];
    } catch {
      return [];
    }
  });
}

export function stepsIn(folder: string): number[] {
  return eventsIn(folder).flatMap((event) => (event.kind === "step" ? [event.step] : []));
}

/** Undefined where no process trains. */
export function pidIn(folder: string): number | undefined {
  try {
    const { pid } = JSON.parse(readFileSync(join(folder, "process.json"), "utf8")) as {
      pid: number;
    };
    return pid;
  } catch {
    return undefined;
  }
}

/** A scenario whose runs, which outlive their windows, are ended with it. */
export function trainingScenario(
  name: string,
  options: OpenOptions,
  play: (vscode: VSCode) => Promise<void>,
): void {
  scenario(name, options, async (vscode) => {
    try {
      await play(vscode);
    } finally {
      endRuns(vscode);
    }
  });
}

function endRuns(vscode: VSCode): void {
  const parent = runFolder(vscode, "");
  for (const name of existsSync(parent) ? readdirSync(parent) : []) {
    const pid = pidIn(join(parent, name));
    try {
      if (pid !== undefined) process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
}
