import * as vscode from "vscode";
import { withGaps } from "../views/format.ts";

/** What can be done with the adapter, above its config. */
export function configLenses(document: vscode.TextDocument): vscode.CodeLens[] {
  const top = new vscode.Range(0, 0, 0, 0);
  const folder = vscode.Uri.joinPath(document.uri, "..").fsPath;
  const lens = (title: string, command: string, args: unknown[]): vscode.CodeLens =>
    new vscode.CodeLens(top, { title: withGaps(title), command, arguments: args });
  return [
    lens(vscode.l10n.t("$(graph) Open Inspector"), "graft.openInspector", [folder]),
    lens(vscode.l10n.t("$(add) Load Adapter"), "graft.loadAdapter", [folder]),
    lens(vscode.l10n.t("$(comment) Run Test Prompt…"), "graft.runTestPrompt", []),
  ];
}
