import * as vscode from "vscode";
import type { Command } from "../context.ts";

export const unloadBaseModel: Command = {
  id: "graft.unloadBaseModel",
  async run({ session }) {
    const { base } = session.state;
    if (!base) {
      void vscode.window.showInformationMessage(
        vscode.l10n.t("No base model is loaded, so there is nothing to unload."),
      );
      return;
    }
    await session.unloadBase();
    vscode.window.setStatusBarMessage(vscode.l10n.t("{0} unloaded", base.name), 4000);
  },
};
