import * as vscode from "vscode";
import type { PromptFile } from "../prompts/promptFile.ts";
import type { State } from "../state.ts";
import { formatSpeaker, withGaps } from "./format.ts";
import type { Outcome } from "./promptOutcomes.ts";

/** What a lens or a command asks the tests to run. */
export interface PromptRequest {
  uri: vscode.Uri;
  columns: "base" | "active" | "all";
  /** A row's index; all rows when absent. */
  row?: number;
}

/** Above the file who may answer it; above each row how it went, and a way to run it. */
export function promptLenses(
  document: vscode.TextDocument,
  file: PromptFile,
  { state, outcomes }: { state: State; outcomes: readonly Outcome[] },
): vscode.CodeLens[] {
  const { uri } = document;
  const top = new vscode.Range(0, 0, 0, 0);
  const { base, active } = state;
  const speaker = formatSpeaker(base?.name ?? "", active);
  const lens = (title: string, request: Omit<PromptRequest, "uri">): vscode.CodeLens =>
    new vscode.CodeLens(request.row === undefined ? top : rowRange(document, file, request.row), {
      title: withGaps(title),
      command: "graft.runPromptFile",
      arguments: [{ uri, ...request }],
    });
  const all = [lens(`$(play) ${vscode.l10n.t("Run with base")}`, { columns: "base" })];
  if (active.length > 0) {
    const title = vscode.l10n.t("Run with active adapters ({0})", speaker);
    all.push(lens(`$(play) ${title}`, { columns: "active" }));
  }
  all.push(lens(`$(run-all) ${vscode.l10n.t("Compare all")}`, { columns: "all" }));
  if (!file.hasTestData) return all;
  for (const { index } of file.rows) {
    const own = outcomes.filter(({ row }) => row === index);
    const title = `$(play) ${vscode.l10n.t("Run")}`;
    all.push(
      lens(own.length === 0 ? title : `${title} · ${summary(own)}`, { columns: "all", row: index }),
    );
  }
  return all;
}

function summary(outcomes: readonly Outcome[]): string {
  const passed = outcomes.filter((each) => each.passed).length;
  const icon = passed === outcomes.length ? "$(pass)" : "$(error)";
  return `${icon} ${vscode.l10n.t("{0} of {1} passed", passed, outcomes.length)}`;
}

function rowRange(document: vscode.TextDocument, file: PromptFile, row: number): vscode.Range {
  const start = document.positionAt(file.rows[row]?.span.start ?? 0);
  return new vscode.Range(start, start);
}
