import * as vscode from "vscode";
import { HostError } from "../failure.ts";

export function untrusted(): HostError {
  return new HostError(
    "bad-request",
    vscode.l10n.t("Training needs a trusted workspace. Runs can be looked at without it."),
  );
}

/** A form that a window restored is there in restricted mode, too. */
export function refuseUntrusted(): void {
  if (!vscode.workspace.isTrusted) throw untrusted();
}
