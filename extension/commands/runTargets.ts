import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { HostError } from "../failure.ts";
import type { RunSummary } from "../protocol/runsContract.ts";
import { runRow } from "../views/runRows.ts";

export interface RunQuestion {
  placeHolder: string;
  accept?(run: RunSummary): boolean;
  /** What is said when no run is accepted. */
  none?: string;
}

/** The run that a command was given (a row of the view or a folder), or one that the user picks. */
export async function chooseRun(
  { runs }: Graft,
  argument: unknown,
  { placeHolder, accept = () => true, none }: RunQuestion,
): Promise<RunSummary | undefined> {
  const folder = folderOf(argument);
  if (!runs.isRead || (folder !== undefined && !runs.find(folder))) await runs.refresh();
  if (folder !== undefined) {
    const known = runs.find(folder);
    if (known) return known;
    throw new HostError(
      "not-found",
      vscode.l10n.t("{0} holds no run. Choose one in the Runs view.", folder),
    );
  }
  const accepted = runs.all.filter(accept);
  if (accepted.length === 0) {
    void vscode.window.showInformationMessage(
      none ?? vscode.l10n.t("There is no run yet. Train an adapter to have one."),
    );
    return undefined;
  }
  const items = accepted.map((run) => {
    const { label, description, icon } = runRow(run);
    return { label, description, iconPath: new vscode.ThemeIcon(icon), run };
  });
  return (await vscode.window.showQuickPick(items, { placeHolder, matchOnDescription: true }))?.run;
}

/** The same among runs that have a process. @param accept which of them, all when absent */
export function chooseLive(
  graft: Graft,
  argument: unknown,
  { placeHolder, accept = () => true, none }: RunQuestion,
): Promise<RunSummary | undefined> {
  return chooseRun(graft, argument, {
    placeHolder,
    accept: (run) => isLive(run) && accept(run),
    none: none ?? vscode.l10n.t("Nothing trains now."),
  });
}

function folderOf(argument: unknown): string | undefined {
  if (typeof argument === "string") return argument;
  const folder = (argument as { run?: RunSummary } | undefined)?.run?.folder;
  return typeof folder === "string" ? folder : undefined;
}

export function isLive({ process }: RunSummary): boolean {
  return process !== null;
}
