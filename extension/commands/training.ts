import type { Command } from "../context.ts";
import { continueRun } from "./continueRun.ts";
import { continueTraining } from "./continueTraining.ts";
import { deleteRun } from "./deleteRun.ts";
import { exportTrainingJob } from "./exportTrainingJob.ts";
import { loadRunAdapter } from "./loadRunAdapter.ts";
import { pauseRun } from "./pauseRun.ts";
import { rerunRun } from "./rerunRun.ts";
import { resumeRun } from "./resumeRun.ts";
import { saveRunCheckpoint } from "./saveRunCheckpoint.ts";
import { showRun } from "./showRun.ts";
import { stopRun } from "./stopRun.ts";
import { trainAdapter } from "./trainAdapter.ts";

/** Commands of training and of runs. */
export const trainingCommands: readonly Command[] = [
  trainAdapter,
  continueTraining,
  showRun,
  pauseRun,
  resumeRun,
  stopRun,
  continueRun,
  saveRunCheckpoint,
  loadRunAdapter,
  rerunRun,
  exportTrainingJob,
  deleteRun,
];
