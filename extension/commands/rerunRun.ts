import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { untrusted } from "../training/trust.ts";
import { chooseRun } from "./runTargets.ts";
import { requireTrust } from "./steps.ts";

/** Opens the form as a run's config fills it: the same config gives the same run. */
export const rerunRun: Command = {
  id: "graft.rerunRun",
  async run(graft, argument) {
    if (!requireTrust(untrusted().message)) return;
    const placeHolder = vscode.l10n.t("Run to train once more");
    const run = await chooseRun(graft, argument, { placeHolder });
    if (!run) return;
    const { config } = await graft.engine.request("readRun", { folder: run.folder, steps: 0 });
    await graft.trainPanels.show(config);
  },
};
