import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { requireBase } from "./steps.ts";

export const replyInThread: Command = {
  id: "graft.replyInThread",
  async run(graft, argument) {
    const conversation = graft.threads.find(argument);
    const text = (argument as vscode.CommentReply).text.trim();
    if (!conversation || text === "") return;
    if (await requireBase(graft, vscode.l10n.t("A reply"))) await conversation.ask(text);
  },
};
