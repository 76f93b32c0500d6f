import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { describeEffect } from "../views/effect.ts";
import { withProgress } from "../views/progress.ts";
import { wake } from "../wake.ts";
import { chooseAdapter } from "./pickers.ts";
import { requireTrust, withAdapter } from "./steps.ts";

/** Asks probe prompts with and without an adapter, and says how much it changes. */
export const measureEffect: Command = {
  id: "graft.measureEffect",
  async run(graft, argument) {
    if (!requireTrust()) return;
    await wake(graft.session);
    const adapter = await chooseAdapter(graft, argument, {
      placeHolder: vscode.l10n.t("Adapter whose effect is to be measured"),
    });
    if (!adapter) return;
    await withAdapter(graft, adapter, async ({ name }) => {
      const { session } = graft;
      const active = session.state.active.find((a) => a.name === name) ?? { name, weight: 1 };
      const title = vscode.l10n.t("Measuring {0}", name);
      const effect = await withProgress(title, (work) => session.measureEffect([active], work));
      const show = effect.changesNothing
        ? vscode.window.showWarningMessage
        : vscode.window.showInformationMessage;
      void show(describeEffect(name, effect));
    });
  },
};
