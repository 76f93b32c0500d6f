import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseLive } from "./runTargets.ts";

/** Goes on with a run that was paused. */
export const resumeRun: Command = {
  id: "graft.resumeRun",
  async run(graft, argument) {
    const run = await chooseLive(graft, argument, {
      placeHolder: vscode.l10n.t("Run to resume"),
      accept: (each) => each.state === "paused",
      none: vscode.l10n.t("No run is paused."),
    });
    if (run) await graft.runs.control(run.folder, "resume", null);
  },
};
