import * as vscode from "vscode";
import type { Command } from "../context.ts";

/** Forgets the Hugging Face token that Graft keeps; one of the environment stays where it is. */
export const signOut: Command = {
  id: "graft.signOut",
  async run({ hub }) {
    const text = (await hub.signOut())
      ? vscode.l10n.t("Signed out of Hugging Face. A token in HF_TOKEN would still be used.")
      : vscode.l10n.t(
          "No Hugging Face token is kept by Graft, so there is nothing to sign out of.",
        );
    void vscode.window.showInformationMessage(text);
  },
};
