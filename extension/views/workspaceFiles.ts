import * as vscode from "vscode";

/** Asks for one of the workspace's files; says `none` where no file matches. */
export async function chooseWorkspaceFile(
  pattern: string,
  { none, placeHolder }: { none: string; placeHolder: string },
): Promise<vscode.Uri | undefined> {
  const found = await vscode.workspace.findFiles(pattern, "**/node_modules/**", 500);
  if (found.length === 0) {
    void vscode.window.showInformationMessage(none);
    return undefined;
  }
  const items = found.map((uri) => ({ label: vscode.workspace.asRelativePath(uri), uri }));
  return (await vscode.window.showQuickPick(items, { placeHolder }))?.uri;
}
