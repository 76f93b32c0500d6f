import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { HostError } from "../failure.ts";
import { ThreadComment } from "../views/inlineConversation.ts";

/** Puts an answer in the place of what was asked; undo takes it back. */
export const replaceWithAnswer: Command = {
  id: "graft.replaceWithAnswer",
  async run({ threads }, argument) {
    const conversation = threads.find(argument);
    const answer = argument instanceof ThreadComment ? argument.body : conversation?.lastAnswer();
    const place = conversation && (await threads.place(conversation));
    if (!conversation || !place || !answer) return;
    const { document, range, isEdited } = place;
    if (isEdited && !(await isSure())) return;
    const end = document.eol === vscode.EndOfLine.CRLF ? "\r\n" : "\n";
    const text = answer.replaceAll("\n", end);
    const edit = new vscode.WorkspaceEdit();
    edit.replace(document.uri, range, text);
    if (await vscode.workspace.applyEdit(edit)) return threads.replaced(conversation, text);
    const problem = vscode.l10n.t("{0} takes no edits now: copy the answer.", document.fileName);
    throw new HostError("bad-request", problem);
  },
};

/** What was asked is not what stands there any more: not overwritten without a word. */
async function isSure(): Promise<boolean> {
  const replace = vscode.l10n.t("Replace It");
  const text = vscode.l10n.t(
    "The selection was edited since it was asked. Replacing it replaces these edits too.",
  );
  return (await vscode.window.showWarningMessage(text, replace)) === replace;
}
