import * as vscode from "vscode";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import type { Session } from "../session.ts";
import { adapterGroups } from "../state.ts";
import { DrawnRows } from "./drawnRows.ts";
import { adapterRow } from "./rows.ts";
import { rowItem } from "./trees.ts";

/** A row of the Adapters view, and what commands get from it. */
export type AdapterNode =
  | { kind: "group"; label: string; adapters: AdapterSummary[] }
  | { kind: "adapter"; adapter: AdapterSummary };

export class AdapterTree implements vscode.TreeDataProvider<AdapterNode> {
  private readonly changed = new vscode.EventEmitter<AdapterNode[] | undefined>();
  private readonly drawn = new DrawnRows<AdapterNode & { kind: "adapter" }>();
  private readonly subscription: { dispose(): void };
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly session: Session) {
    this.subscription = session.onDidChange(() => this.redraw());
  }

  async getChildren(node?: AdapterNode): Promise<AdapterNode[]> {
    if (node?.kind === "adapter") return [];
    if (node) return node.adapters.map((adapter) => ({ kind: "adapter", adapter }));
    await this.session.discovered().catch(() => undefined);
    return adapterGroups(this.session.state).map((group) => ({ kind: "group", ...group }));
  }

  getTreeItem(node: AdapterNode): vscode.TreeItem {
    if (node.kind === "adapter") return this.adapterItem(node);
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

  private redraw(): void {
    const { state } = this.session;
    const groups = adapterGroups(state);
    const shape = groups.map(({ label, adapters }) => [label, adapters.map(({ path }) => path)]);
    const rows = state.adapters.map((adapter) => ({
      row: adapterRow(state, adapter),
      renew: (node: { adapter: AdapterSummary }) => void (node.adapter = adapter),
    }));
    const stale = this.drawn.changed(shape, rows);
    if (stale?.length !== 0) this.changed.fire(stale);
  }

  private adapterItem(node: AdapterNode & { kind: "adapter" }): vscode.TreeItem {
    const { adapter } = node;
    const row = adapterRow(this.session.state, adapter);
    this.drawn.draw(node, row);
    const item = rowItem(row);
    const title = vscode.l10n.t("Activate Adapter");
    if (!row.contextValue.startsWith("adapter.active")) {
      item.command = { command: "graft.activateAdapter", title, arguments: [adapter.path] };
    }
    return item;
  }
}
