import type { Command } from "../context.ts";
import { continueRun } from "./continueRun.ts";
import { deleteRun } from "./deleteRun.ts";
import { loadRunAdapter } from "./loadRunAdapter.ts";
import { pauseRun } from "./pauseRun.ts";
import { resumeRun } from "./resumeRun.ts";
import { saveRunCheckpoint } from "./saveRunCheckpoint.ts";
import { showRun } from "./showRun.ts";
import { stopRun } from "./stopRun.ts";

/** Commands of runs. */
export const trainingCommands: readonly Command[] = [
  showRun,
  pauseRun,
  resumeRun,
  stopRun,
  continueRun,
  saveRunCheckpoint,
  loadRunAdapter,
  deleteRun,
];
