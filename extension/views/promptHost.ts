import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { markdownTable } from "../prompts/bulkExport.ts";
import { parsePromptFile } from "../prompts/parse.ts";
import { type PromptFile, rowLabel } from "../prompts/promptFile.ts";
import { PromptLanguage } from "./promptLanguage.ts";
import { promptLenses } from "./promptLenses.ts";
import type { Prompts } from "./prompts.ts";
import type { Outcome } from "./promptOutcomes.ts";
import { PromptTests } from "./promptTests.ts";

/** Reads prompt files as they are edited, and hands them to lenses, language and tests. */
export class PromptHost implements vscode.Disposable {
  readonly language: PromptLanguage;
  readonly tests: PromptTests;
  private readonly known = new Map<string, { version: number; file: PromptFile }>();
  private readonly subscriptions: vscode.Disposable;

  constructor(
    private readonly graft: Graft,
    private readonly prompts: Prompts,
  ) {
    this.language = new PromptLanguage(graft, (document) => this.read(document));
    this.tests = new PromptTests(graft, prompts);
    const listening = graft.session.onDidChange(() => {
      prompts.refreshLenses();
      this.tests.modelsChanged();
      for (const document of vscode.workspace.textDocuments) {
        if (this.known.has(document.uri.toString())) this.language.diagnose(document);
      }
    });
    this.subscriptions = vscode.Disposable.from(this.language, this.tests, listening);
  }

  /** A document was opened or edited. */
  met(document: vscode.TextDocument): void {
    const file = this.read(document);
    this.language.diagnose(document);
    this.tests.show(document.uri, document.getText(), file);
  }

  closed(document: vscode.TextDocument): void {
    this.known.delete(document.uri.toString());
    this.language.forget(document);
  }

  lenses(document: vscode.TextDocument): vscode.CodeLens[] {
    return promptLenses(document, this.read(document), {
      state: this.graft.session.state,
      outcomes: this.tests.outcomesOf(document.uri),
    });
  }

  read(document: vscode.TextDocument): PromptFile {
    const key = document.uri.toString();
    const known = this.known.get(key);
    if (known?.version === document.version) return known.file;
    const file = parsePromptFile(document.getText());
    this.known.set(key, { version: document.version, file });
    return file;
  }

  /** Shows answers side by side: a line a row, a column for each that answered. */
  readonly compare = async (uri: vscode.Uri, outcomes: readonly Outcome[]): Promise<void> => {
    const file = this.tests.fileAt(uri);
    if (!file || outcomes.length === 0) return;
    const columns = [...new Set(outcomes.map(({ column }) => column))];
    const rows = file.rows.map((row) => [
      rowLabel(row, 200),
      ...columns.map((column) => {
        const own = outcomes.find((each) => each.row === row.index && each.column === column);
        return own ? `${own.passed ? "✓" : "✗"} ${own.output}` : "";
      }),
    ]);
    const name = file.name || vscode.workspace.asRelativePath(uri);
    const passed = outcomes.filter((each) => each.passed).length;
    const text = [
      `# ${name}`,
      vscode.l10n.t("{0} of {1} passed", passed, outcomes.length),
      markdownTable([vscode.l10n.t("Row"), ...columns], rows),
    ];
    await this.graft.reports.show(name, text.join("\n\n"));
    this.prompts.refreshLenses();
  };

  dispose(): void {
    this.subscriptions.dispose();
  }
}
