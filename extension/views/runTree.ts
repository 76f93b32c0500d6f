import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import type { RunSummary } from "../protocol/runsContract.ts";
import type { Runs } from "../training/runs.ts";
import { DrawnRows } from "./drawnRows.ts";
import { presentError } from "./errors.ts";
import { runRow } from "./runRows.ts";
import { throttle } from "./throttle.ts";
import { rowItem } from "./trees.ts";

/** A row of the Runs view, and what commands get from it. */
export interface RunNode {
  kind: "run";
  run: RunSummary;
}

/** Small runs take hundreds of steps a second; a row is read, not watched. */
const drawEvery = 400;

class RunTree implements vscode.TreeDataProvider<RunNode> {
  private readonly changed = new vscode.EventEmitter<RunNode[] | undefined>();
  private readonly drawn = new DrawnRows<RunNode>();
  private readonly subscription: vscode.Disposable;
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly runs: Runs) {
    const drawing = throttle(() => this.redraw(), drawEvery);
    const listening = runs.onDidChange((news) => {
      if (news === null) drawing.flush();
      else drawing.request();
    });
    this.subscription = vscode.Disposable.from(listening);
  }

  getChildren(node?: RunNode): RunNode[] {
    return node ? [] : this.runs.all.map((run) => ({ kind: "run", run }));
  }

  getTreeItem(node: RunNode): vscode.TreeItem {
    const row = runRow(node.run);
    this.drawn.draw(node, row);
    const item = rowItem(row);
    const title = vscode.l10n.t("Show Run");
    item.command = { command: "graft.showRun", title, arguments: [node] };
    return item;
  }

  dispose(): void {
    this.subscription.dispose();
    this.changed.dispose();
  }

  private redraw(): void {
    const rows = this.runs.all.map((run) => ({
      id: run.folder,
      look: () => runRow(run),
      renew: (node: RunNode) => void (node.run = run),
    }));
    const stale = this.drawn.changed(
      rows.map(({ id }) => id),
      rows,
    );
    if (stale?.length === 0) return;
    this.changed.fire(stale);
  }
}

/** Creates the Runs view; looks for runs when it is seen for the first time. */
export function showRuns(graft: Graft): vscode.Disposable {
  const { runs } = graft;
  const treeDataProvider = new RunTree(runs);
  const view = vscode.window.createTreeView("graft.runs", { treeDataProvider });
  const seen = (): void => {
    if (!view.visible || runs.isRead) return;
    const read = (): Promise<void> =>
      runs.refresh().catch((thrown) => void presentError(graft, thrown));
    void vscode.window.withProgress({ location: { viewId: "graft.runs" } }, read);
  };
  const listening = runs.onDidChange((news) => {
    // What an empty view says is said once it is known to be empty.
    if (news === null) void vscode.commands.executeCommand("setContext", "graft.runsRead", true);
  });
  seen();
  return vscode.Disposable.from(
    view,
    treeDataProvider,
    listening,
    view.onDidChangeVisibility(seen),
  );
}
