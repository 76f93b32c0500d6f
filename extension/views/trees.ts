import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import type { State } from "../state.ts";
import { wake } from "../wake.ts";
import { presentError } from "./errors.ts";
import { escapeMarkdown, markdownRow } from "./escapeMarkdown.ts";
import { arrange, type Arrangement, describeArrangement, filterMessage } from "./arrangement.ts";
import type { AdapterNode } from "./adapterTree.ts";
import type { BaseNode } from "./baseModelTree.ts";
import { AdapterDrop } from "./dragAndDrop.ts";
import type { Row } from "./rows.ts";

/** Creates a view over a tree; looks for models when it is seen for the first time. */
export function showTree<T extends AdapterNode | BaseNode>(
  graft: Graft,
  id: "graft.baseModels" | "graft.adapters",
  treeDataProvider: vscode.TreeDataProvider<T> & vscode.Disposable,
): vscode.Disposable {
  const view = vscode.window.createTreeView(id, {
    treeDataProvider,
    dragAndDropController: new AdapterDrop<T>(graft, id),
    showCollapseAll: false,
    // Several adapters can be combined, merged, unloaded and compared.
    canSelectMany: id === "graft.adapters",
  });
  const seen = (): void => {
    if (view.visible) void wake(graft.session, id).catch((error) => presentError(graft, error));
  };
  const say = (): void => {
    // Once is enough, where most of the rows are.
    if (id !== "graft.adapters") return;
    const { current } = graft.layout;
    view.description = describeArrangement(current);
    view.message = messageFor(graft.session.state, current);
  };
  say();
  seen();
  return vscode.Disposable.from(
    view,
    treeDataProvider,
    view.onDidChangeVisibility(seen),
    graft.session.onDidChange(say),
    graft.layout.onDidChange(say),
    vscode.workspace.onDidGrantWorkspaceTrust(say),
    vscode.workspace.onDidGrantWorkspaceTrust(seen),
  );
}

/** What is worth a line above the rows: loading is off, rows are left out, a folder cannot be read. */
function messageFor(state: State, arrangement: Arrangement): string | undefined {
  if (!vscode.workspace.isTrusted) {
    return vscode.l10n.t("Restricted mode: adapters can be browsed and inspected, not loaded.");
  }
  const { filter } = arrangement;
  if (filter !== "") {
    const shown = arrange(state, arrangement).reduce(
      (sum, { adapters }) => sum + adapters.length,
      0,
    );
    return filterMessage(shown, state.adapters.length, filter);
  }
  const [first, ...others] = state.problems;
  if (!first) return undefined;
  const text = vscode.l10n.t("Not read: {0} ({1})", first.path, plainly(first.message));
  return others.length === 0 ? text : vscode.l10n.t("{0} and {1} more", text, others.length);
}

/** "ENOENT: no such file or directory, scandir '/x'" without what is said already. */
function plainly(message: string): string {
  return message.replace(/^E[A-Z]+: /, "").replace(/, \w+ '.*'$/, "");
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
  const facts = row.facts.map(([name, value]) => markdownRow(name, value));
  const lines = [`**${escapeMarkdown(row.label)}**`, "", "| | |", "|---|---|", ...facts];
  return new vscode.MarkdownString(lines.join("\n"));
}
