import * as vscode from "vscode";
import type { Session } from "./session.ts";

/**
 * Brings Graft to life when the user turns to it, not when the window opens: looks for models and
 * loads what this window had loaded before its reload.
 */
export async function wake(session: Session, viewId?: string): Promise<void> {
  await session.discovered();
  // Models are loaded only where the user trusts the folder.
  if (!vscode.workspace.isTrusted) return;
  const location = viewId === undefined ? vscode.ProgressLocation.Window : { viewId };
  const title = vscode.l10n.t("Loading what was loaded before");
  await vscode.window.withProgress({ location, title }, () => session.restoreRemembered());
}
