import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { formatExact } from "../views/format.ts";
import { chooseLive } from "./runTargets.ts";

/** Ends a run before its time, after asking what becomes of what it has learned. */
export const stopRun: Command = {
  id: "graft.stopRun",
  async run(graft, argument) {
    const run = await chooseLive(graft, argument, {
      placeHolder: vscode.l10n.t("Run to stop"),
    });
    if (!run) return;
    const keep = vscode.l10n.t("Keep the Adapter as It Is Now");
    const discard = vscode.l10n.t("Keep the Last Checkpoint");
    const text = vscode.l10n.t("Stop {0} at step {1}?", run.name, formatExact(run.step));
    const detail =
      run.adapter === null
        ? vscode.l10n.t(
            "It has no checkpoint yet: without keeping it as it is now, nothing is left.",
          )
        : vscode.l10n.t("It can be continued later from what is kept.");
    const options = { modal: true, detail };
    const chosen = await vscode.window.showWarningMessage(text, options, keep, discard);
    if (chosen === undefined) return;
    const what = chosen === keep ? "keep" : "discard";
    await graft.runs.control(run.folder, "stop", { what });
  },
};
