import * as vscode from "vscode";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import type { Session } from "../session.ts";
import { adapterGroups } from "../state.ts";
import { adapterRow } from "./rows.ts";
import { rowItem } from "./trees.ts";

/** A row of the Adapters view, and what commands get from it. */
export type AdapterNode =
  | { kind: "group"; label: string; adapters: AdapterSummary[] }
  | { kind: "adapter"; adapter: AdapterSummary };

export class AdapterTree implements vscode.TreeDataProvider<AdapterNode> {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly subscription: { dispose(): void };
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly session: Session) {
    this.subscription = session.onDidChange(() => this.changed.fire());
  }

  async getChildren(node?: AdapterNode): Promise<AdapterNode[]> {
    if (node?.kind === "adapter") return [];
    if (node) return node.adapters.map((adapter) => ({ kind: "adapter", adapter }));
    await this.session.discovered().catch(() => undefined);
    return adapterGroups(this.session.state).map((group) => ({ kind: "group", ...group }));
  }

  getTreeItem(node: AdapterNode): vscode.TreeItem {
    if (node.kind === "adapter") return this.adapterItem(node.adapter);
    const item = new vscode.TreeItem(node.label, vscode.TreeItemCollapsibleState.Expanded);
    item.id = `group:${node.label}`;
    item.contextValue = "adapterGroup";
    item.tooltip = vscode.l10n.t("Adapters trained on {0}", node.label);
    return item;
  }

  dispose(): void {
    this.subscription.dispose();
    this.changed.dispose();
  }

  private adapterItem(adapter: AdapterSummary): vscode.TreeItem {
    const row = adapterRow(this.session.state, adapter);
    const item = rowItem(row);
    const title = vscode.l10n.t("Activate Adapter");
    if (!row.contextValue.startsWith("adapter.active")) {
      item.command = { command: "graft.activateAdapter", title, arguments: [adapter.path] };
    }
    return item;
  }
}
