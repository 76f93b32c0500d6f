import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { canContinue } from "../views/runRows.ts";
import { untrusted } from "../training/trust.ts";
import { chooseRun } from "./runTargets.ts";
import { requireTrust } from "./steps.ts";

/** Goes on with a run that was interrupted, failed or stopped, from its last good checkpoint. */
export const continueRun: Command = {
  id: "graft.continueRun",
  async run(graft, argument) {
    if (!requireTrust(untrusted().message)) return;
    const run = await chooseRun(graft, argument, {
      placeHolder: vscode.l10n.t("Run to continue"),
      accept: canContinue,
      none: vscode.l10n.t("There is no run that ended before its time."),
    });
    if (!run) return;
    if (run.process === null) await graft.runs.goOn(run.folder);
    graft.runPanels.show(run.folder);
  },
};
