import * as vscode from "vscode";
import type { Layout } from "../layout.ts";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import type { Session } from "../session.ts";
import { type AdapterGroup, arrange, groupFacts, orderFact } from "./arrangement.ts";
import { DrawnRows } from "./drawnRows.ts";
import { adapterRow, type Row } from "./rows.ts";
import { rowItem } from "./trees.ts";

/** A row of the Adapters view, and what commands get from it. */
export type AdapterNode =
  { kind: "group"; group: AdapterGroup } | { kind: "adapter"; adapter: AdapterSummary };

/** Above this many adapters groups begin closed: nobody reads thousands of rows. */
const mostOpened = 500;

export class AdapterTree implements vscode.TreeDataProvider<AdapterNode> {
  private readonly changed = new vscode.EventEmitter<AdapterNode[] | undefined>();
  private readonly drawn = new DrawnRows<AdapterNode & { kind: "adapter" }>();
  private readonly subscription: vscode.Disposable;
  private arranged: AdapterGroup[] = [];
  /** What `arranged` was made of. */
  private arrangedOf: readonly unknown[] = [];
  readonly onDidChangeTreeData = this.changed.event;

  constructor(
    private readonly session: Session,
    private readonly layout: Layout,
  ) {
    this.subscription = vscode.Disposable.from(
      session.onDidChange(() => this.redraw()),
      layout.onDidChange(() => this.redraw()),
    );
  }

  async getChildren(node?: AdapterNode): Promise<AdapterNode[]> {
    if (node?.kind === "adapter") return [];
    if (node) return node.group.adapters.map((adapter) => ({ kind: "adapter", adapter }));
    await this.session.discovered().catch(() => undefined);
    return this.groups().map((group) => ({ kind: "group", group }));
  }

  getTreeItem(node: AdapterNode): vscode.TreeItem {
    return node.kind === "adapter" ? this.adapterItem(node) : this.groupItem(node.group);
  }

  dispose(): void {
    this.subscription.dispose();
    this.changed.dispose();
  }

  /** Arranged anew only when something that counts has changed: there may be thousands. */
  private groups(): AdapterGroup[] {
    const { state } = this.session;
    const { adapters, bases, base, effects, loaded, active } = state;
    const { current } = this.layout;
    const named = current.filter === "" ? [] : [loaded, active];
    const seen = [adapters, bases, base, effects, current, ...named];
    const isSame = seen.every((each, i) => this.arrangedOf[i] === each);
    if (isSame && this.arrangedOf.length === seen.length) return this.arranged;
    this.arrangedOf = seen;
    return (this.arranged = arrange(state, current));
  }

  private redraw(): void {
    const { state } = this.session;
    const shape = this.groups().map(({ id, description, adapters }) => [
      [id, description],
      adapters.map(({ path }) => path),
    ]);
    const rows = state.adapters.map((adapter) => ({
      id: adapter.path,
      look: () => this.rowOf(adapter),
      renew: (node: { adapter: AdapterSummary }) => void (node.adapter = adapter),
    }));
    const stale = this.drawn.changed(shape, rows);
    if (stale?.length !== 0) this.changed.fire(stale);
  }

  private groupItem(group: AdapterGroup): vscode.TreeItem {
    const { Collapsed, Expanded } = vscode.TreeItemCollapsibleState;
    const isMuch = this.session.state.adapters.length > mostOpened;
    const item = new vscode.TreeItem(group.label, isMuch ? Collapsed : Expanded);
    item.id = `group:${group.id}`;
    item.description = group.description;
    item.contextValue = group.basePath === null ? "adapterGroup" : "adapterGroup.base";
    item.tooltip = `${group.tooltip}\n${groupFacts(group)}`;
    return item;
  }

  private adapterItem(node: AdapterNode & { kind: "adapter" }): vscode.TreeItem {
    const { adapter } = node;
    const row = this.rowOf(adapter);
    this.drawn.draw(node, row);
    const item = rowItem(row);
    const title = vscode.l10n.t("Activate Adapter");
    if (!row.contextValue.startsWith("adapter.active")) {
      item.command = { command: "graft.activateAdapter", title, arguments: [adapter.path] };
    }
    return item;
  }

  /** A row with what the order goes by, where that is not shown anyway. */
  private rowOf(adapter: AdapterSummary): Row {
    const { state } = this.session;
    const row = adapterRow(state, adapter);
    const fact = orderFact(state, adapter, this.layout.current.order);
    const description = [row.description, fact].filter(Boolean).join(" · ");
    return { ...row, description };
  }
}
