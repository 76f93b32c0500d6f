import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { chooseAdapter } from "./pickers.ts";

/** Opens an adapter's adapter_config.json as it is on disk. */
export const openAdapterConfig: Command = {
  id: "graft.openAdapterConfig",
  async run(graft, argument) {
    const adapter = await chooseAdapter(graft, argument, {
      placeHolder: vscode.l10n.t("Adapter whose configuration is to be opened"),
    });
    if (!adapter) return;
    const file = vscode.Uri.joinPath(vscode.Uri.file(adapter.path), "adapter_config.json");
    await vscode.window.showTextDocument(file);
  },
};
