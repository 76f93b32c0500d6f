import * as vscode from "vscode";
import { failureOf } from "../failure.ts";

/** Moves files or folders to the trash; false when the user kept one of them after all. */
export async function moveToTrash(
  targets: readonly vscode.Uri[],
  { recursive }: { recursive: boolean },
): Promise<boolean> {
  let useTrash = true;
  for (const target of targets) {
    const options = { recursive, useTrash };
    try {
      await vscode.workspace.fs.delete(target, options);
    } catch (thrown) {
      // A remote machine has no trash.
      if (!useTrash || !(await confirmForGood(target, failureOf(thrown).message))) return false;
      useTrash = false;
      await vscode.workspace.fs.delete(target, { ...options, useTrash });
    }
  }
  return true;
}

async function confirmForGood(target: vscode.Uri, reason: string): Promise<boolean> {
  const text = vscode.l10n.t("{0} cannot be moved to the trash.", target.fsPath);
  const detail = vscode.l10n.t("{0}\n\nDeleted permanently it cannot be brought back.", reason);
  const remove = vscode.l10n.t("Delete Permanently");
  return (await vscode.window.showWarningMessage(text, { modal: true, detail }, remove)) === remove;
}
