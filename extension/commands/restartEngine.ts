import * as vscode from "vscode";
import type { Command } from "../context.ts";

export const restartEngine: Command = {
  id: "graft.restartEngine",
  async run({ engine, session }) {
    const location = vscode.ProgressLocation.Window;
    const title = vscode.l10n.t("Restarting the Graft engine");
    await vscode.window.withProgress({ location, title }, () => engine.restart());
    await session.discovered();
  },
};
