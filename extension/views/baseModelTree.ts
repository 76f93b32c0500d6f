import * as vscode from "vscode";
import type { BaseModelSummary } from "../protocol/engineContract.ts";
import type { Session } from "../session.ts";
import { baseRow } from "./rows.ts";
import { rowItem } from "./trees.ts";

/** A row of the Base Models view, and what commands get from it. */
export interface BaseNode {
  kind: "base";
  base: BaseModelSummary;
}

export class BaseModelTree implements vscode.TreeDataProvider<BaseNode> {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly subscription: { dispose(): void };
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly session: Session) {
    this.subscription = session.onDidChange(() => this.changed.fire());
  }

  async getChildren(node?: BaseNode): Promise<BaseNode[]> {
    if (node) return [];
    await this.session.discovered().catch(() => undefined);
    const { base: loaded, bases } = this.session.state;
    // A base from outside the known folders is shown while it is loaded.
    const extra = loaded && !bases.some((b) => b.path === loaded.path) ? [loaded] : [];
    return [...extra, ...bases].map((base) => ({ kind: "base", base }));
  }

  getTreeItem({ base }: BaseNode): vscode.TreeItem {
    const row = baseRow(this.session.state, base);
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
}
