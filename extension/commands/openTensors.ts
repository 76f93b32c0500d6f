import * as vscode from "vscode";
import type { Command } from "../context.ts";

/** Opens a file of tensors, or an index of shards, in the tensor table. */
export const openTensors: Command = {
  id: "graft.openTensors",
  async run(_graft, argument) {
    const file = uriOf(argument) ?? (await chooseFile());
    if (!file) return;
    const viewType = /\.index\.json$/i.test(file.path) ? "graft.tensorIndex" : "graft.tensors";
    await vscode.commands.executeCommand("vscode.openWith", file, viewType);
  },
};

/** What a menu, a page or another command handed over. */
function uriOf(argument: unknown): vscode.Uri | undefined {
  if (argument instanceof vscode.Uri) return argument;
  return typeof argument === "string" ? vscode.Uri.file(argument) : undefined;
}

async function chooseFile(): Promise<vscode.Uri | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title: vscode.l10n.t("File whose tensors are to be shown"),
    openLabel: vscode.l10n.t("Open Tensor Table"),
    filters: { [vscode.l10n.t("Tensors")]: ["safetensors", "index.json"] },
  });
  return chosen?.[0];
}
