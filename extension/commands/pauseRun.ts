import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseLive } from "./runTargets.ts";

/** Pauses a run after the step that it takes: a checkpoint is written, the processor is free. */
export const pauseRun: Command = {
  id: "graft.pauseRun",
  async run(graft, argument) {
    const run = await chooseLive(graft, argument, {
      placeHolder: vscode.l10n.t("Run to pause"),
      accept: (each) => each.state !== "paused",
    });
    if (run) await graft.runs.control(run.folder, "pause", null);
  },
};
