import * as vscode from "vscode";
import { HostError } from "../failure.ts";

export function trainingNeedsTrust(): string {
  return vscode.l10n.t("Training needs a trusted workspace. Runs can be looked at without it.");
}

/** A form that a window restored is there in restricted mode, too. */
export function refuseUntrusted(): void {
  if (!vscode.workspace.isTrusted) throw new HostError("bad-request", trainingNeedsTrust());
}
