import * as path from "node:path";
import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { explain, type Names, suggest, type Suggestion } from "../prompts/language.ts";
import type { Problem } from "../prompts/problem.ts";
import type { PromptFile } from "../prompts/promptFile.ts";
import { findAdapter, findBase } from "./promptModels.ts";

/** Completion, hover and problems of prompt files. */
export class PromptLanguage implements vscode.Disposable {
  private readonly problems = vscode.languages.createDiagnosticCollection("graft.prompts");

  constructor(
    private readonly graft: Graft,
    private readonly read: (document: vscode.TextDocument) => PromptFile,
  ) {}

  async complete(
    document: vscode.TextDocument,
    position: vscode.Position,
  ): Promise<vscode.CompletionItem[]> {
    // Names of models are worth waiting for; the engine is not started for keys alone.
    if (vscode.workspace.isTrusted) await this.graft.session.discovered().catch(() => undefined);
    const offset = document.offsetAt(position);
    const given = { file: this.read(document), names: this.names() };
    return suggest(document.getText(), offset, given).map((each, i) => {
      const item = new vscode.CompletionItem(each.label, kinds[each.kind]);
      item.documentation = each.detail;
      item.insertText = each.insert;
      item.range = new vscode.Range(position.translate(0, -each.replaces), position);
      item.sortText = String(i).padStart(4, "0");
      return item;
    });
  }

  hover(document: vscode.TextDocument, position: vscode.Position): vscode.Hover | undefined {
    const offset = document.offsetAt(position);
    const text = explain(document.getText(), offset, this.read(document));
    return text === null ? undefined : new vscode.Hover(new vscode.MarkdownString(text));
  }

  diagnose(document: vscode.TextDocument): void {
    const file = this.read(document);
    const all = [...file.problems, ...this.missingModels(document, file)];
    this.problems.set(
      document.uri,
      all.map(({ message, span, severity }) => {
        const { start, end } = span;
        const range = new vscode.Range(document.positionAt(start), document.positionAt(end));
        const diagnostic = new vscode.Diagnostic(range, message, severities[severity]);
        diagnostic.source = "Graft";
        return diagnostic;
      }),
    );
  }

  forget(document: vscode.TextDocument): void {
    this.problems.delete(document.uri);
  }

  dispose(): void {
    this.problems.dispose();
  }

  private names(): Names {
    const { bases, adapters } = this.graft.session.state;
    return {
      bases: [...new Set(bases.map(({ name }) => name))],
      adapters: [...new Set(adapters.map(({ name }) => name))],
    };
  }

  /** Models that are not here, once it is known what is. */
  private missingModels(document: vscode.TextDocument, file: PromptFile): Problem[] {
    const { state } = this.graft.session;
    if (state.discovery !== "done") return [];
    const folder = path.dirname(document.uri.fsPath);
    const problems: Problem[] = [];
    if (file.model && findBase(state, file.model.id, folder) === undefined) {
      const message = vscode.l10n.t(
        "“{0}” is not on this machine: the loaded base answers.",
        file.model.id,
      );
      problems.push({ message, span: file.model.span, severity: "info" });
    }
    for (const { adapter, span } of file.columns.flatMap(({ parts }) => parts)) {
      const isLoaded = state.loaded.some(({ name }) => name === adapter);
      if (isLoaded || findAdapter(state, adapter, folder)) continue;
      const message = vscode.l10n.t("There is no adapter “{0}” in the Adapters view.", adapter);
      problems.push({ message, span, severity: "warning" });
    }
    return problems;
  }
}

const kinds: Record<Suggestion["kind"], vscode.CompletionItemKind> = {
  key: vscode.CompletionItemKind.Property,
  value: vscode.CompletionItemKind.EnumMember,
  variable: vscode.CompletionItemKind.Variable,
  model: vscode.CompletionItemKind.Reference,
};

const severities: Record<Problem["severity"], vscode.DiagnosticSeverity> = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  info: vscode.DiagnosticSeverity.Information,
};
