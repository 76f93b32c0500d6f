import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseRun } from "./runTargets.ts";

/** Opens the page of a run: its curves, samples and checkpoints. */
export const showRun: Command = {
  id: "graft.showRun",
  async run(graft, argument) {
    const placeHolder = vscode.l10n.t("Run to show");
    const run = await chooseRun(graft, argument, { placeHolder });
    if (run) graft.runPanels.show(run.folder);
  },
};
