import * as vscode from "vscode";
import type { Command } from "../context.ts";

/** Back to the bare base; the adapters stay loaded. */
export const deactivateAdapters: Command = {
  id: "graft.deactivateAdapters",
  async run({ session }) {
    if (session.state.active.length === 0) {
      void vscode.window.showInformationMessage(
        vscode.l10n.t("No adapter is active, so there is nothing to deactivate."),
      );
      return;
    }
    await session.activate([]);
    const base = session.state.base?.name ?? "";
    vscode.window.setStatusBarMessage(vscode.l10n.t("{0} answers alone", base), 4000);
  },
};
