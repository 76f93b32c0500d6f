import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { wake } from "../wake.ts";
import { presentError } from "./errors.ts";
import type { Row } from "./rows.ts";

/** Creates a view over a tree; looks for models when it is seen for the first time. */
export function showTree<T>(
  graft: Graft,
  id: "graft.baseModels" | "graft.adapters",
  treeDataProvider: vscode.TreeDataProvider<T> & vscode.Disposable,
): vscode.Disposable {
  const view = vscode.window.createTreeView(id, { treeDataProvider, showCollapseAll: false });
  const seen = (): void => {
    if (view.visible) void wake(graft.session, id).catch((error) => presentError(graft, error));
  };
  const trust = (): void => {
    view.message = vscode.workspace.isTrusted
      ? undefined
      : vscode.l10n.t("Restricted mode: adapters can be browsed and inspected, not loaded.");
  };
  trust();
  seen();
  return vscode.Disposable.from(
    view,
    treeDataProvider,
    view.onDidChangeVisibility(seen),
    vscode.workspace.onDidGrantWorkspaceTrust(trust),
    vscode.workspace.onDidGrantWorkspaceTrust(seen),
  );
}

export function rowItem(row: Row): vscode.TreeItem {
  const item = new vscode.TreeItem(row.label);
  item.id = row.id;
  item.description = row.description;
  item.contextValue = row.contextValue;
  item.iconPath = new vscode.ThemeIcon(
    row.icon,
    row.color === undefined ? undefined : new vscode.ThemeColor(row.color),
  );
  item.tooltip = tooltip(row);
  item.accessibilityInformation = { label: `${row.label}, ${row.description}, ${row.status}` };
  return item;
}

function tooltip(row: Row): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  text.appendMarkdown("**").appendText(row.label).appendMarkdown("**\n\n");
  text.appendMarkdown("| | |\n|---|---|\n");
  for (const [name, value] of row.facts) {
    text.appendMarkdown(`| ${name} | `).appendText(cell(value)).appendMarkdown(" |\n");
  }
  return text;
}

/** A table cell is one line, and a bar would end it. */
function cell(value: string): string {
  return value.replace(/\s+/g, " ").replaceAll("|", "¦");
}
