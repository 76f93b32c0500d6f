import * as vscode from "vscode";
import type { Command } from "../context.ts";

export const openWalkthrough: Command = {
  id: "graft.openWalkthrough",
  run: ({ extension }) =>
    vscode.commands.executeCommand(
      "workbench.action.openWalkthrough",
      `${extension.extension.id}#start`,
      false,
    ),
};
