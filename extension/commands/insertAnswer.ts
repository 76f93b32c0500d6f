import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { ThreadComment } from "../views/inlineConversation.ts";

/** Puts an answer into the document, on lines of its own below what was asked; undo takes it back. */
export const insertAnswer: Command = {
  id: "graft.insertAnswer",
  async run({ threads }, argument) {
    const conversation = threads.find(argument);
    const answer = argument instanceof ThreadComment ? argument.body : conversation?.lastAnswer();
    const place = conversation && (await threads.place(conversation));
    if (!place || !answer) return;
    const { document, range } = place;
    const line = document.lineAt(range.end);
    const edit = new vscode.WorkspaceEdit();
    const end = document.eol === vscode.EndOfLine.CRLF ? "\r\n" : "\n";
    const text = answer.replaceAll("\n", end);
    const next = line.rangeIncludingLineBreak.end;
    // At the start of the next line, so that a selection that ends here does not grow.
    if (next.line > line.lineNumber) edit.insert(document.uri, next, text + end);
    else edit.insert(document.uri, line.range.end, end + text);
    await vscode.workspace.applyEdit(edit);
    threads.follow(document);
  },
};
