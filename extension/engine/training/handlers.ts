import type { Handlers } from "../../protocol/connection.ts";
import type { RunsContract } from "../../protocol/runsContract.ts";
import { parseRunConfig } from "./runConfig.ts";
import { createRun, listRuns, readRun } from "./runFolder.ts";

/** What the engine answers of runs: from their folders, whether or not a process trains in them. */
export const runsHandlers: Handlers<RunsContract> = {
  createRun: async ({ parent, config }) => ({
    folder: await createRun(parent, parseRunConfig(config, "run.json")),
  }),
  listRuns: ({ parents }) => listRuns(parents),
  readRun: ({ folder, steps }) => readRun(folder, steps),
};
