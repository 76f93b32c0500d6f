import type * as vscode from "vscode";

/** Pages that are open, by what each shows: one panel a subject, alive as long as its tab. */
export class OpenPanels implements vscode.Disposable {
  private readonly open = new Map<string, { panel: vscode.WebviewPanel; refresh(): void }>();

  get titles(): [title: string, subject: string][] {
    return [...this.open].map(([subject, { panel }]) => [panel.title, subject]);
  }

  /** Brings the page of a subject to the front. @returns whether there is one */
  reveal(subject: string): boolean {
    const known = this.open.get(subject);
    known?.panel.reveal();
    return known !== undefined;
  }

  /** A panel shows a subject from now on, in place of the one that it showed. */
  put(subject: string, panel: vscode.WebviewPanel, refresh: () => unknown): void {
    this.forget(panel);
    // A hidden page is not there; it asks again when it is shown.
    this.open.set(subject, { panel, refresh: () => void (panel.visible && refresh()) });
  }

  forget(panel: vscode.WebviewPanel): void {
    for (const [subject, { panel: own }] of this.open) if (own === panel) this.open.delete(subject);
  }

  refresh(): void {
    for (const { refresh } of this.open.values()) refresh();
  }

  close(subject: string): void {
    this.open.get(subject)?.panel.dispose();
  }

  dispose(): void {
    for (const { panel } of [...this.open.values()]) panel.dispose();
  }
}
