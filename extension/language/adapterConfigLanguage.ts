import { readFileSync } from "node:fs";
import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { completionsAt } from "./adapterConfig/completions.ts";
import { readDocument } from "./adapterConfig/document.ts";
import { fieldTable, type FieldTable, type SchemaFile } from "./adapterConfig/fieldTable.ts";
import { hoverAt } from "./adapterConfig/hovers.ts";
import type { Severity } from "./adapterConfig/problem.ts";
import { findProblems } from "./adapterConfig/problems.ts";
import { knownBases } from "./bases.ts";
import { type CheckedConfig, ConfigFiles, configSelector } from "./configFiles.ts";
import { configLenses } from "./configLenses.ts";
import { ConfigFixes } from "./configFixes.ts";
import { rangeIn } from "./ranges.ts";

/**
 * What the editor knows of adapter_config.json beyond its schema: problems, hovers, completions and
 * fixes that need the base and the weights. Costs nothing until such a file is open.
 */
export class AdapterConfigLanguage {
  private table: FieldTable | undefined;
  private files: ConfigFiles | undefined;
  private readonly diagnostics = vscode.languages.createDiagnosticCollection("graft");
  private readonly providers: vscode.Disposable[];

  constructor(private readonly graft: Graft) {
    const { languages } = vscode;
    const fixes = new ConfigFixes(graft, (document) => this.open().last(document));
    this.providers = [
      languages.registerHoverProvider(configSelector, {
        provideHover: (document, position) => this.hover(document, position),
      }),
      languages.registerCompletionItemProvider(
        configSelector,
        { provideCompletionItems: (document, position) => this.complete(document, position) },
        '"',
        ".",
      ),
      languages.registerCodeLensProvider(configSelector, { provideCodeLenses: configLenses }),
      languages.registerCodeActionsProvider(configSelector, fixes, {
        providedCodeActionKinds: [vscode.CodeActionKind.QuickFix],
      }),
      vscode.workspace.onDidOpenTextDocument((document) => this.begin([document])),
    ];
    this.begin(vscode.workspace.textDocuments);
  }

  dispose(): void {
    this.files?.dispose();
    this.diagnostics.dispose();
    vscode.Disposable.from(...this.providers).dispose();
  }

  /** The first file that is open sets everything going. */
  private begin(documents: readonly vscode.TextDocument[]): void {
    if (this.files || !documents.some((each) => vscode.languages.match(configSelector, each) > 0))
      return;
    this.open().again();
  }

  private open(): ConfigFiles {
    return (this.files ??= new ConfigFiles(this.graft, (uri, config) => this.show(uri, config)));
  }

  private fields(): FieldTable {
    const file = this.graft.extension.asAbsolutePath("media/schemas/adapter_config.schema.json");
    return (this.table ??= fieldTable(JSON.parse(readFileSync(file, "utf8")) as SchemaFile));
  }

  private show(uri: vscode.Uri, config: CheckedConfig | undefined): void {
    if (!config) return this.diagnostics.delete(uri);
    config.problems = findProblems(config.document, this.fields(), config.facts);
    const { text } = config.document;
    const shown = config.problems.filter(({ isQuiet }) => !isQuiet);
    this.diagnostics.set(
      uri,
      shown.map(({ at, message, severity, code }) => {
        const diagnostic = new vscode.Diagnostic(rangeIn(text, at), message, severities[severity]);
        diagnostic.source = "Graft";
        diagnostic.code = code;
        if (code === "key-unknown") diagnostic.tags = [vscode.DiagnosticTag.Unnecessary];
        return diagnostic;
      }),
    );
  }

  private async hover(
    document: vscode.TextDocument,
    position: vscode.Position,
  ): Promise<vscode.Hover | undefined> {
    const read = readDocument(document.getText());
    const facts = (await this.open().current(document))?.facts ?? null;
    const found = read && hoverAt(read, document.offsetAt(position), facts);
    if (!found) return undefined;
    const contents = found.parts.map((part) => new vscode.MarkdownString(part));
    return new vscode.Hover(contents, rangeIn(read.text, found.at));
  }

  private async complete(
    document: vscode.TextDocument,
    position: vscode.Position,
  ): Promise<vscode.CompletionItem[]> {
    const read = readDocument(document.getText());
    if (!read) return [];
    const files = this.open();
    // What is half written has no facts of its own: those of the text before it will do.
    const facts = (files.last(document) ?? (await files.current(document)))?.facts ?? null;
    const bases = knownBases(this.graft.session.state.bases, document.uri.fsPath);
    return completionsAt(read, document.offsetAt(position), { facts, bases }).map((found) => {
      const item = new vscode.CompletionItem(found.label, itemKinds[found.kind]);
      const range = rangeIn(read.text, found.at);
      item.range = range;
      item.insertText = found.insert;
      // What is written already begins with a quotation mark.
      item.filterText = found.insert;
      item.detail = found.detail;
      if (found.documentation !== "")
        item.documentation = new vscode.MarkdownString(found.documentation);
      item.sortText = `0${String(found.order).padStart(5, "0")}`;
      return item;
    });
  }
}

const severities: Readonly<Record<Severity, vscode.DiagnosticSeverity>> = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  information: vscode.DiagnosticSeverity.Information,
};

const itemKinds = {
  module: vscode.CompletionItemKind.Module,
  pattern: vscode.CompletionItemKind.Text,
  base: vscode.CompletionItemKind.Folder,
  layer: vscode.CompletionItemKind.Value,
} as const;
