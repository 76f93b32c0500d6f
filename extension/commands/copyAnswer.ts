import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { ThreadComment } from "../views/inlineConversation.ts";

export const copyAnswer: Command = {
  id: "graft.copyAnswer",
  async run({ threads }, argument) {
    const answer =
      argument instanceof ThreadComment ? argument.body : threads.find(argument)?.lastAnswer();
    if (!answer) return;
    await vscode.env.clipboard.writeText(answer);
    vscode.window.setStatusBarMessage(vscode.l10n.t("Answer copied"), 3000);
  },
};
