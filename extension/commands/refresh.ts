import * as vscode from "vscode";
import type { Command } from "../context.ts";

export const refresh: Command = {
  id: "graft.refresh",
  async run({ session, runs }) {
    const location = { viewId: "graft.adapters" };
    const looks = [session.refresh(), ...(runs.isRead ? [runs.refresh()] : [])];
    await vscode.window.withProgress({ location }, () => Promise.all(looks));
  },
};
