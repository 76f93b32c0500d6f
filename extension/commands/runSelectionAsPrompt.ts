import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { requireBase } from "./steps.ts";

/** Opens a thread under the selection (or the line of the cursor) and streams the answer into it. */
export const runSelectionAsPrompt: Command = {
  id: "graft.runSelectionAsPrompt",
  async run(graft) {
    const editor = vscode.window.activeTextEditor;
    if (!editor) {
      const text = vscode.l10n.t("Open a text file and select what to ask.");
      void vscode.window.showInformationMessage(text);
      return;
    }
    const { document, selection } = editor;
    const range = selection.isEmpty ? document.lineAt(selection.active).range : selection;
    const prompt = document.getText(range).trim();
    if (prompt === "") {
      const text = vscode.l10n.t("Select the text to ask, or put the cursor into its line.");
      void vscode.window.showInformationMessage(text);
      return;
    }
    if (!(await requireBase(graft, vscode.l10n.t("Asking the selection")))) return;
    await graft.threads.start(document.uri, range, prompt);
  },
};
