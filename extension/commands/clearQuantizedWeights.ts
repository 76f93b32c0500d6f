import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { formatBytes } from "../views/format.ts";

/** Shows the weights that were made for a precision and kept, and removes those that are picked. */
export const clearQuantizedWeights: Command = {
  id: "graft.clearQuantizedWeights",
  async run({ session }) {
    const entries = await session.quantCache();
    if (entries.length === 0) {
      const text = vscode.l10n.t(
        "No quantized weights are kept on this machine, so there is nothing to clear.",
      );
      return void vscode.window.showInformationMessage(text);
    }
    const items = entries.map(({ key, model, precision, bytes, lastUsed, isInUse }) => ({
      label: model,
      description: `${precision} · ${formatBytes(bytes)}`,
      detail: isInUse
        ? vscode.l10n.t("in use now, it stays")
        : vscode.l10n.t("last used {0}", new Date(lastUsed).toLocaleString()),
      picked: !isInUse,
      key,
    }));
    const chosen = await vscode.window.showQuickPick(items, {
      title: vscode.l10n.t("Quantized weights to remove"),
      placeHolder: vscode.l10n.t("They are made again when they are needed"),
      canPickMany: true,
    });
    if (!chosen || chosen.length === 0) return;
    const { bytes } = await session.clearQuantCache(chosen.map(({ key }) => key));
    const text = vscode.l10n.t("{0} of quantized weights removed.", formatBytes(bytes));
    void vscode.window.showInformationMessage(text);
  },
};
