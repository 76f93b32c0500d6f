import * as path from "node:path";
import { badRequest } from "../core/base/errors.ts";
import { isFolder } from "../core/base/files.ts";
import { readJsonObject } from "../core/base/json.ts";
import { defaultQuantCacheDir } from "../core/quantCache.ts";
import { parseRunConfig, readRunConfig } from "../engine/training/runConfig.ts";
import { createRun } from "../engine/training/runFolder.ts";
import { trainIn } from "../engine/training/runProcess.ts";
import type { RunConfig } from "../protocol/trainingContract.ts";
import type { RunEvent } from "../protocol/runsContract.ts";
import { readArguments } from "./arguments.ts";

const options = { out: { type: "string" }, json: { type: "boolean", default: false } } as const;

/** Trains a run by its config, or goes on with one; Ctrl-C ends it after its step and keeps the adapter. */
export async function train(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [given] = positionals;
  if (given === undefined || positionals.length > 1) {
    throw badRequest("train needs a run.json, or the folder of a run.");
  }
  const isRun = await isFolder(given);
  if (isRun && values.out !== undefined) {
    throw badRequest("--out is for a run.json: the run of a folder goes on in that folder.");
  }
  const parent = values.out ?? "graft-runs";
  const folder = path.resolve(isRun ? given : await createRun(parent, await configIn(given)));
  const onEvent = (event: RunEvent): void =>
    void process.stdout.write(values.json ? `${JSON.stringify(event)}\n` : lineOf(event));
  const code = await trainIn(folder, { onEvent, signal, quantCacheDir: defaultQuantCacheDir() });
  if (code !== 0)
    throw badRequest("The run failed. Its last line says why; the last checkpoint is kept.");
  if (!values.json) process.stdout.write(`The adapter is in ${folder}.\n`);
}

/** A run's config, named by its file or by the folder of the run. */
export async function configIn(given: string): Promise<RunConfig> {
  if (await isFolder(given)) return readRunConfig(given);
  return parseRunConfig(await readJsonObject(given), given);
}

function lineOf(event: RunEvent): string {
  switch (event.kind) {
    case "step": {
      const { step, totalSteps, loss, tokensPerSecond } = event;
      const speed = `${Math.round(tokensPerSecond)} tokens/s`;
      return `step ${step} of ${totalSteps}  loss ${loss.toFixed(4)}  ${speed}\n`;
    }
    case "evaluation":
      return `evaluation at step ${event.step}  loss ${event.loss.toFixed(4)}\n`;
    case "sample":
      return `${event.prompt}\n  base: ${event.base}\n  adapter: ${event.adapter}\n`;
    case "state":
      return event.message === undefined ? "" : `${event.state}: ${event.message}\n`;
    default:
      return "";
  }
}
