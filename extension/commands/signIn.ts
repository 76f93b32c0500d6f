import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import type { HubAccount } from "../protocol/hubContract.ts";
import { withProgress } from "../views/progress.ts";

/** Keeps a Hugging Face token in the editor's secret storage, once the Hub has taken it. */
export const signIn: Command = {
  id: "graft.signIn",
  run: (graft) => askForToken(graft),
};

/** Asks for a token and checks it; undefined when the user leaves. */
export async function askForToken({ hub }: Graft): Promise<HubAccount | undefined> {
  const token = await vscode.window.showInputBox({
    title: vscode.l10n.t("Sign in to Hugging Face"),
    prompt: vscode.l10n.t(
      "A token from huggingface.co/settings/tokens: read to download, write to push. It stays in the editor's secret storage.",
    ),
    placeHolder: "hf_…",
    password: true,
    ignoreFocusOut: true,
  });
  const given = token?.trim();
  if (!given) return undefined;
  const account = await withProgress(vscode.l10n.t("Asking the Hub"), () => hub.signIn(given));
  const text = account.canWrite
    ? vscode.l10n.t("Signed in to Hugging Face as {0}.", account.name)
    : vscode.l10n.t(
        "Signed in to Hugging Face as {0}; the token can only read. Pushing needs one that can write.",
        account.name,
      );
  void vscode.window.showInformationMessage(text);
  return account;
}
