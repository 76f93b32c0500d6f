import * as vscode from "vscode";

/** Pages of results: Markdown files in the extension's own storage, so that they outlive a reload. */
export class Reports {
  private readonly folder: vscode.Uri;

  constructor({ storageUri, globalStorageUri }: vscode.ExtensionContext) {
    this.folder = vscode.Uri.joinPath(storageUri ?? globalStorageUri, "reports");
  }

  /** Shows a page as people read it; one of the same title is replaced. */
  async show(title: string, markdown: string): Promise<void> {
    const name = title.replaceAll(/[/\\:*?"<>|]/g, "_").slice(0, 80);
    const uri = vscode.Uri.joinPath(this.folder, `${name}.md`);
    await vscode.workspace.fs.createDirectory(this.folder);
    await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(markdown));
    await vscode.commands.executeCommand("markdown.showPreviewToSide", uri);
  }
}
