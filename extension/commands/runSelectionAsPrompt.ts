import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import type { Conversation } from "../views/inlineConversation.ts";
import { requireBase } from "./steps.ts";

/** Opens a thread under the selection (or the line of the cursor) and streams the answer into it. */
export const runSelectionAsPrompt: Command = {
  id: "graft.runSelectionAsPrompt",
  async run(graft) {
    const conversation = await openThread(graft, vscode.l10n.t("Asking the selection"));
    await conversation?.begin();
  },
};

/** A thread under what is selected; says what is missing where there cannot be one. */
export async function openThread(graft: Graft, purpose: string): Promise<Conversation | undefined> {
  const editor = vscode.window.activeTextEditor;
  if (!editor) {
    const text = vscode.l10n.t("Open a text file and select what to ask.");
    void vscode.window.showInformationMessage(text);
    return undefined;
  }
  const { document, selection } = editor;
  const range = selection.isEmpty ? document.lineAt(selection.active).range : selection;
  const prompt = document.getText(range).trim();
  if (prompt === "") {
    const text = vscode.l10n.t("Select the text to ask, or put the cursor into its line.");
    void vscode.window.showInformationMessage(text);
    return undefined;
  }
  if (!(await requireBase(graft, purpose))) return undefined;
  return graft.threads.open(document, range, prompt);
}
