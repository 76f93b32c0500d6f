import * as vscode from "vscode";

const scheme = "graft-report";

/** Pages of results: Markdown that was made, shown as people read it. */
export class Reports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly subscriptions = vscode.Disposable.from(
    this.changed,
    vscode.workspace.registerTextDocumentContentProvider(scheme, this),
    vscode.workspace.onDidCloseTextDocument(({ uri }) => void this.texts.delete(uri.toString())),
  );
  readonly onDidChange = this.changed.event;

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? vscode.l10n.t("This page was not kept. Run it again.");
  }

  /** Shows a page; one of the same title is replaced. */
  async show(title: string, markdown: string): Promise<void> {
    // A slash would end the name of the tab.
    const name = title.replaceAll(/[/\\]/g, "∕");
    const uri = vscode.Uri.from({ scheme, path: `/${name}.md` });
    this.texts.set(uri.toString(), markdown);
    this.changed.fire(uri);
    await vscode.commands.executeCommand("markdown.showPreviewToSide", uri);
  }

  dispose(): void {
    this.subscriptions.dispose();
  }
}
