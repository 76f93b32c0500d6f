import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { ThreadComment } from "../views/inlineConversation.ts";
import { requireBase } from "./steps.ts";

/** Asks a thread's question anew as it was edited; what followed it goes. */
export const askEdited: Command = {
  id: "graft.askEdited",
  async run(graft, argument) {
    if (!(argument instanceof ThreadComment)) return;
    if (!(await requireBase(graft, vscode.l10n.t("An answer")))) return;
    await argument.conversation.askEdited(argument);
  },
};
