/** Runs as their folders tell of them. */
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { badRequest } from "../../core/base/errors.ts";
import { isFolder, writeAtomically } from "../../core/base/files.ts";
import { readJsonObject } from "../../core/base/json.ts";
import { isRunning } from "../../core/base/processes.ts";
import { adapterConfigName, methodLabel } from "../../core/checkpoint/adapterConfig.ts";
import { displayName } from "../../core/checkpoint/baseCheckpoint.ts";
import { readModelConfig } from "../../core/checkpoint/modelConfig.ts";
import type {
  RunConfig,
  RunEvent,
  RunProcess,
  RunState,
  RunSummary,
} from "../../protocol/trainingContract.ts";
import { configFile, readRunConfig, writeRunConfig } from "./runConfig.ts";
import { readEvents, thinned } from "./runLog.ts";

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
    await writeRunConfig(folder, config);
    return folder;
  }
}

/** Runs directly below these folders, newest first. */
export async function listRuns(parents: readonly string[]): Promise<RunSummary[]> {
  const found: { summary: RunSummary; made: number }[] = [];
  for (const parent of new Set(parents)) {
    const names = await readdir(parent).catch(() => []);
    for (const name of names) {
      const folder = path.join(parent, name);
      const made = await stat(configFile(folder)).catch(() => undefined);
      if (made?.isFile()) found.push({ summary: await summarize(folder), made: made.mtimeMs });
    }
  }
  return found.sort((a, b) => b.made - a.made).map(({ summary }) => summary);
}

/** Everything that was logged; of steps at most `steps`. */
export async function readRun(
  folder: string,
  steps = Infinity,
): Promise<{ summary: RunSummary; config: RunConfig; events: RunEvent[] }> {
  const config = await readRunConfig(folder);
  const events: RunEvent[] = [];
  for await (const event of readEvents(folder)) events.push(event);
  const summary = await summaryOf(folder, config, events);
  return { summary, config, events: thinned(events, steps) };
}

async function summarize(folder: string): Promise<RunSummary> {
  try {
    return (await readRun(folder, 0)).summary;
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
  events: readonly RunEvent[],
): Promise<RunSummary> {
  const process = await readProcess(folder);
  const last = <K extends RunEvent["kind"]>(kind: K): Extract<RunEvent, { kind: K }> | undefined =>
    events.findLast((event): event is Extract<RunEvent, { kind: K }> => event.kind === kind);
  const said = last("state")?.state ?? "interrupted";
  const step = last("step");
  const isOver = !alive.includes(said);
  const adapter = last("checkpoint")?.path ?? null;
  return {
    ...blank(folder),
    name: config.name,
    base: await baseName(config.base),
    method: await methodOf(config),
    // A process that is gone without having said so was killed, or the machine went down.
    state: !isOver && !process ? "interrupted" : said,
    step: step?.step ?? 0,
    totalSteps: step?.totalSteps ?? null,
    loss: step?.loss ?? null,
    evaluationLoss: last("evaluation")?.loss ?? null,
    startedAt: events[0]?.at ?? null,
    endedAt: process ? null : (events.at(-1)?.at ?? null),
    adapter: adapter !== null && (await isFolder(adapter)) ? adapter : null,
    process,
  };
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

function processFile(folder: string): string {
  return path.join(folder, "process.json");
}

/** The process that trains here, where it lives. */
export async function readProcess(folder: string): Promise<RunProcess | null> {
  try {
    const known = JSON.parse(await readFile(processFile(folder), "utf8")) as RunProcess;
    return isRunning(known.pid) ? known : null;
  } catch {
    return null;
  }
}

export async function writeProcess(folder: string, process: RunProcess): Promise<void> {
  const text = `${JSON.stringify(process, null, 2)}\n`;
  await writeAtomically(processFile(folder), async (handle) => void (await handle.write(text)));
}

export async function removeProcess(folder: string): Promise<void> {
  await rm(processFile(folder), { force: true });
}
