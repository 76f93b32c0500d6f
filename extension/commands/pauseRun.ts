import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseRun, isLive } from "./runTargets.ts";

/** Pauses a run after the step that it takes: a checkpoint is written, the processor is free. */
export const pauseRun: Command = {
  id: "graft.pauseRun",
  async run(graft, argument) {
    const run = await chooseRun(graft, argument, {
      placeHolder: vscode.l10n.t("Run to pause"),
      accept: (each) => isLive(each) && each.state !== "paused",
      none: vscode.l10n.t("Nothing trains now."),
    });
    if (run) await graft.runs.control(run.folder, "pause", null);
  },
};
