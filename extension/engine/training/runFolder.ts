/** Runs as their folders tell of them. */
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { badRequest } from "../../core/base/errors.ts";
import { isFile, isFolder } from "../../core/base/files.ts";
import { readJsonObject } from "../../core/base/json.ts";
import { adapterConfigName, methodLabel } from "../../core/checkpoint/adapterConfig.ts";
import { displayName } from "../../core/checkpoint/baseCheckpoint.ts";
import { readModelConfig } from "../../core/checkpoint/modelConfig.ts";
import { ownBaseName } from "../../core/resumeTraining.ts";
import { checkpointsIn } from "../../core/train/checkpointFolder.ts";
import type { RunConfig } from "../../protocol/trainingContract.ts";
import type { RunEvent, RunState, RunSummary } from "../../protocol/runsContract.ts";
import { logEnd } from "./logEnd.ts";
import { readProcess } from "./processFile.ts";
import { configFile, readRunConfig, writeRunConfig } from "./runConfig.ts";
import { readThinned } from "./runLog.ts";

/** States in which a run needs a process. */
const alive: readonly RunState[] = [
  "preparing",
  "running",
  "pausing",
  "paused",
  "evaluating",
  "stopping",
];

/** Makes a new folder for a run, named after it; another run's is never taken. */
export async function createRun(parent: string, config: RunConfig): Promise<string> {
  const wanted = config.name.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "");
  if (wanted === "") throw badRequest(t("A run needs a name with letters or digits in it."));
  await mkdir(parent, { recursive: true });
  for (let number = 1; ; number++) {
    const folder = path.join(parent, number === 1 ? wanted : `${wanted}-${number}`);
    try {
      await mkdir(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") continue;
      throw error;
    }
    try {
      await writeRunConfig(folder, config);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
    return folder;
  }
}

/** So many folders are read at a time. */
const atOnce = 16;

/** Runs directly below these folders, newest first. */
export async function listRuns(parents: readonly string[]): Promise<RunSummary[]> {
  const folders: string[] = [];
  for (const parent of new Set(parents)) {
    const names = await readdir(parent).catch(() => []);
    folders.push(...names.map((name) => path.join(parent, name)));
  }
  const names = new Map<string, Promise<string>>();
  const nameOf = (base: string): Promise<string> => {
    const known = names.get(base) ?? baseName(base);
    names.set(base, known);
    return known;
  };
  const found: { summary: RunSummary; made: number }[] = [];
  const read = async (folder: string): Promise<void> => {
    const made = await stat(configFile(folder)).catch(() => undefined);
    if (made?.isFile())
      found.push({ summary: await summarize(folder, nameOf), made: made.mtimeMs });
  };
  for (let at = 0; at < folders.length; at += atOnce) {
    await Promise.all(folders.slice(at, at + atOnce).map(read));
  }
  return found.sort((a, b) => b.made - a.made).map(({ summary }) => summary);
}

/** Everything that was logged and counts; of steps at most `steps`. */
export async function readRun(
  folder: string,
  steps = Infinity,
): Promise<{ summary: RunSummary; config: RunConfig; events: RunEvent[] }> {
  const config = await readRunConfig(folder);
  const events = await readThinned(folder, steps);
  return { summary: await summaryOf(folder, config), config, events };
}

async function summarize(
  folder: string,
  nameOf: (base: string) => Promise<string>,
): Promise<RunSummary> {
  try {
    return await summaryOf(folder, await readRunConfig(folder), nameOf);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { ...blank(folder), state: "failed", name: path.basename(folder), problem };
  }
}

function blank(folder: string): RunSummary {
  return {
    ...{ folder, name: "", base: "", method: "", state: "interrupted", step: 0 },
    ...{ totalSteps: null, loss: null, evaluationLoss: null, startedAt: null, endedAt: null },
    ...{ adapter: null, process: null },
  };
}

async function summaryOf(
  folder: string,
  config: RunConfig,
  nameOf: (base: string) => Promise<string> = baseName,
): Promise<RunSummary> {
  const [process, end] = await Promise.all([
    readProcess(folder),
    logEnd(folder, config.settings.evaluateEvery),
  ]);
  const { step, state: said = "interrupted", message } = end;
  const ownBase = path.join(folder, ownBaseName);
  return {
    ...blank(folder),
    name: config.name,
    base: await nameOf(config.base),
    method: await methodOf(config),
    // A process that is gone without having said so was killed, or the machine went down.
    state: alive.includes(said) && !process ? "interrupted" : said,
    step: step?.step ?? 0,
    totalSteps: step?.totalSteps ?? null,
    loss: step?.loss ?? null,
    evaluationLoss: end.evaluation?.loss ?? null,
    startedAt: end.first?.at ?? null,
    endedAt: process ? null : (end.last?.at ?? null),
    adapter: await adapterOf(folder, said),
    ...((await isFolder(ownBase)) && { ownBase }),
    process,
    ...(message !== undefined && { message }),
  };
}

/** Of a run that came to its end the adapter itself, else the last checkpoint. */
async function adapterOf(folder: string, state: RunState): Promise<string | null> {
  if (state === "finished" && (await isFile(path.join(folder, adapterConfigName)))) return folder;
  const [last] = await checkpointsIn(folder);
  return last?.folder ?? null;
}

/** "DoRA": the method as people call it. */
async function methodOf({ adapter }: RunConfig): Promise<string> {
  const raw = adapter.kind === "new" ? adapter.config : await configIn(adapter.path);
  const peftType = raw["peft_type"];
  return typeof peftType === "string" ? methodLabel({ peftType, raw }) : "";
}

async function configIn(folder: string): Promise<Record<string, unknown>> {
  return readJsonObject(path.join(folder, adapterConfigName)).catch(() => ({}));
}

/** As the base is called in lists; a base that is gone by its folder. */
async function baseName(folder: string): Promise<string> {
  try {
    return displayName(folder, await readModelConfig(folder));
  } catch {
    return path.basename(folder);
  }
}
