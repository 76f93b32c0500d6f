import * as vscode from "vscode";
import type { BaseModelSummary } from "../protocol/engineContract.ts";
import type { Session } from "../session.ts";
import { DrawnRows } from "./drawnRows.ts";
import { baseRow } from "./rows.ts";
import { rowItem } from "./trees.ts";

/** A row of the Base Models view, and what commands get from it. */
export interface BaseNode {
  kind: "base";
  base: BaseModelSummary;
}

export class BaseModelTree implements vscode.TreeDataProvider<BaseNode> {
  private readonly changed = new vscode.EventEmitter<BaseNode[] | undefined>();
  private readonly drawn = new DrawnRows<BaseNode>();
  private readonly subscription: { dispose(): void };
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly session: Session) {
    this.subscription = session.onDidChange(() => this.redraw());
  }

  async getChildren(node?: BaseNode): Promise<BaseNode[]> {
    if (node) return [];
    await this.session.discovered().catch(() => undefined);
    return this.bases().map((base) => ({ kind: "base", base }));
  }

  getTreeItem(node: BaseNode): vscode.TreeItem {
    const { base } = node;
    const row = baseRow(this.session.state, base);
    this.drawn.draw(node, row);
    const item = rowItem(row);
    if (row.contextValue === "base.available") {
      const title = vscode.l10n.t("Load Base Model");
      item.command = { command: "graft.loadBaseModel", title, arguments: [base.path] };
    }
    return item;
  }

  dispose(): void {
    this.subscription.dispose();
    this.changed.dispose();
  }

  /** A base from outside the known folders is shown while it is loaded. */
  private bases(): BaseModelSummary[] {
    const { base: loaded, bases } = this.session.state;
    const extra = loaded && !bases.some((b) => b.path === loaded.path) ? [loaded] : [];
    return [...extra, ...bases];
  }

  private redraw(): void {
    const bases = this.bases();
    const rows = bases.map((base) => ({
      id: base.path,
      look: () => baseRow(this.session.state, base),
      renew: (node: BaseNode) => void (node.base = base),
    }));
    const stale = this.drawn.changed(
      bases.map(({ path }) => path),
      rows,
    );
    if (stale?.length !== 0) this.changed.fire(stale);
  }
}
