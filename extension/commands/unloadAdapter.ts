import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { pathOf } from "./pickers.ts";

export const unloadAdapter: Command = {
  id: "graft.unloadAdapter",
  async run({ session }, argument) {
    const { loaded } = session.state;
    if (loaded.length === 0) {
      void vscode.window.showInformationMessage(vscode.l10n.t("No adapter is loaded."));
      return;
    }
    const path = pathOf(argument);
    const name =
      path === undefined
        ? await vscode.window.showQuickPick(
            loaded.map((l) => l.name),
            { placeHolder: vscode.l10n.t("Adapter to unload") },
          )
        : loaded.find((l) => l.path === path)?.name;
    if (name !== undefined) await session.unloadAdapter(name);
  },
};
