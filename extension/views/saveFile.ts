import { Buffer } from "node:buffer";
import * as vscode from "vscode";

/** Asks where a picture or table of a page is to be kept, beside what it is of, and writes it. */
export async function saveFile(
  beside: vscode.Uri,
  file: { name: string; content: string; base64?: boolean | undefined },
): Promise<{ saved: boolean }> {
  const name = file.name.replace(/[^\w.-]+/g, "_");
  const extension = /\.(\w+)$/.exec(name)?.[1] ?? "txt";
  const target = await vscode.window.showSaveDialog({
    defaultUri: vscode.Uri.joinPath(beside, "..", name),
    filters: { [extension.toUpperCase()]: [extension] },
  });
  if (!target) return { saved: false };
  await vscode.workspace.fs.writeFile(
    target,
    Buffer.from(file.content, file.base64 === true ? "base64" : "utf8"),
  );
  vscode.window.setStatusBarMessage(vscode.l10n.t("$(check) {0} saved", target.fsPath), 4000);
  return { saved: true };
}
