import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { answer } from "./runTestPrompt.ts";
import { requireBase } from "./steps.ts";

/** Runs the prompt of the shown answer again, with the models that are active now. */
export const rerunTestPrompt: Command = {
  id: "graft.rerunTestPrompt",
  async run(graft, argument) {
    const uri = argument instanceof vscode.Uri ? argument : undefined;
    const question = graft.answers.questionOf(uri);
    if (question === undefined) return vscode.commands.executeCommand("graft.runTestPrompt");
    if (!(await requireBase(graft, vscode.l10n.t("A test prompt")))) return undefined;
    return answer(graft, question);
  },
};
