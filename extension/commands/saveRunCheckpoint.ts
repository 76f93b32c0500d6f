import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseLive } from "./runTargets.ts";

/** Has a run write a checkpoint after the step that it takes. */
export const saveRunCheckpoint: Command = {
  id: "graft.saveRunCheckpoint",
  async run(graft, argument) {
    const run = await chooseLive(graft, argument, {
      placeHolder: vscode.l10n.t("Run to save a checkpoint of"),
    });
    if (!run) return;
    await graft.runs.control(run.folder, "saveCheckpoint", null);
    const text = vscode.l10n.t("$(save) {0}: a checkpoint is written after this step", run.name);
    vscode.window.setStatusBarMessage(text, 4000);
  },
};
