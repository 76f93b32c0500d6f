import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { requireBase } from "./steps.ts";

export const regenerateAnswer: Command = {
  id: "graft.regenerateAnswer",
  async run(graft, argument) {
    const conversation = graft.threads.find(argument);
    if (!conversation) return;
    if (await requireBase(graft, vscode.l10n.t("An answer"))) await conversation.regenerate();
  },
};
