import { homedir } from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import type { PageFile } from "../protocol/picturesContract.ts";
import { saveFile } from "./saveFile.ts";

/** Where the engine keeps what it has computed of adapters, so that a page opens at once again. */
export function analysisCache(extension: vscode.ExtensionContext): string {
  return vscode.Uri.joinPath(extension.globalStorageUri, "analysis").fsPath;
}

/** Writes a picture or a table of a page where the user wants it; false when they leave. */
export async function savePageFile({ name, kind, content }: PageFile): Promise<boolean> {
  // Adapters may lie in the sample or in the Hub's cache: no place for the user's files.
  const workspace = vscode.workspace.workspaceFolders?.[0]?.uri;
  const folder = workspace?.scheme === "file" ? workspace.fsPath : homedir();
  const beside = vscode.Uri.file(path.join(folder, "graft"));
  const file = { name: `${name}.${kind}`, content, base64: kind === "png" };
  return (await saveFile(beside, file)).saved;
}
