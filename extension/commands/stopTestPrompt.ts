import * as vscode from "vscode";
import type { Command } from "../context.ts";

export const stopTestPrompt: Command = {
  id: "graft.stopTestPrompt",
  run: ({ answers }, argument) =>
    answers.stop(argument instanceof vscode.Uri ? argument : undefined),
};
