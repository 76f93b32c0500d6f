import * as vscode from "vscode";
import type { Command } from "../context.ts";

export const refresh: Command = {
  id: "graft.refresh",
  async run({ session }) {
    const location = { viewId: "graft.adapters" };
    await vscode.window.withProgress({ location }, () => session.refresh());
  },
};
