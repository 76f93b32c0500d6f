import * as vscode from "vscode";
import type { Command } from "../context.ts";

/** Opens a folder with prompts to try; a copy, so that the user's edits are their own and stay. */
export const openSampleWorkspace: Command = {
  id: "graft.openSampleWorkspace",
  async run({ extension }) {
    const source = vscode.Uri.joinPath(extension.extensionUri, "media", "workspace");
    const target = vscode.Uri.joinPath(extension.globalStorageUri, "sample-workspace");
    await copyMissing(source, target);
    await vscode.commands.executeCommand("vscode.openFolder", target, {
      forceNewWindow: vscode.workspace.workspaceFolders !== undefined,
    });
  },
};

async function copyMissing(source: vscode.Uri, target: vscode.Uri): Promise<void> {
  const { fs } = vscode.workspace;
  await fs.createDirectory(target);
  const known = new Set((await fs.readDirectory(target)).map(([name]) => name));
  for (const [name, type] of await fs.readDirectory(source)) {
    const from = vscode.Uri.joinPath(source, name);
    const to = vscode.Uri.joinPath(target, name);
    if (type === vscode.FileType.Directory) await copyMissing(from, to);
    else if (!known.has(name)) await fs.copy(from, to, { overwrite: false });
  }
}
