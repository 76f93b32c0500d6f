import * as path from "node:path";
import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { type BulkRecord, readResults } from "../prompts/bulk.ts";
import { exportFormats, type ExportFormat, exportResults } from "../prompts/bulkExport.ts";
import { HostError } from "../failure.ts";
import { presentError } from "./errors.ts";
import { chooseWorkspaceFile } from "./workspaceFiles.ts";

/** A page is for looking; more lines than these are for a table program. */
const mostShown = 500;

/** Shows answers as a table, a line a prompt. */
export async function showResults(
  graft: Graft,
  file: string,
  records: readonly BulkRecord[],
): Promise<void> {
  const name = path.basename(file);
  const shown = records.filter(({ row }) => row < mostShown);
  const more =
    new Set(records.map(({ row }) => row)).size - new Set(shown.map(({ row }) => row)).size;
  const table = exportResults(shown, "md");
  const rest = more > 0 ? `\n\n${vscode.l10n.t("{0} more rows are in the file.", more)}` : "";
  await graft.reports.show(name, `# ${name}\n\n${table}${rest}`);
}

/** Says how a run ended, with a way to export. */
export function offerExport(graft: Graft, text: string, results: vscode.Uri): void {
  const title = vscode.l10n.t("Export…");
  // Not awaited: the run is over, whether or not the message is read.
  void Promise.resolve(vscode.window.showInformationMessage(text, title))
    .then((chosen) => (chosen === title ? exportBulk(results) : undefined))
    .catch((thrown: unknown) => presentError(graft, thrown));
}

/** Writes results in a format that the user picks, beside the results. */
export async function exportBulk(argument: unknown): Promise<void> {
  const results = argument instanceof vscode.Uri ? argument : await chooseResults();
  if (!results) return;
  const records = await readResults(results.fsPath);
  if (records.length === 0) {
    const text = vscode.l10n.t(
      "{0} holds no answers of a bulk run. Choose the results that a bulk run wrote.",
      path.basename(results.fsPath),
    );
    throw new HostError("bad-file", text);
  }
  const labels: Record<ExportFormat, string> = {
    csv: vscode.l10n.t("CSV: a column for each model"),
    md: vscode.l10n.t("Markdown table"),
    jsonl: vscode.l10n.t("JSONL: a line a prompt"),
  };
  const items = exportFormats.map((format) => ({ label: labels[format], format }));
  const placeHolder = vscode.l10n.t("Export as");
  const chosen = await vscode.window.showQuickPick(items, { placeHolder, ignoreFocusOut: true });
  if (!chosen) return;
  const stem = results.path.replace(/\.results\.jsonl$/, "").replace(/\.jsonl$/, "");
  const name = chosen.format === "jsonl" ? `${stem}.answers.jsonl` : `${stem}.${chosen.format}`;
  // The data may be a CSV of that name itself: the dialog asks before it replaces a file.
  const target = await vscode.window.showSaveDialog({
    defaultUri: results.with({ path: chosen.format === "csv" ? `${stem}.answers.csv` : name }),
    title: placeHolder,
  });
  if (!target) return;
  const text = exportResults(records, chosen.format);
  await vscode.workspace.fs.writeFile(target, new TextEncoder().encode(text));
  await vscode.window.showTextDocument(target, { preview: true });
}

async function chooseResults(): Promise<vscode.Uri | undefined> {
  const open = vscode.window.activeTextEditor?.document.uri;
  if (open?.path.endsWith(".results.jsonl")) return open;
  return chooseWorkspaceFile("**/*.results.jsonl", {
    none: vscode.l10n.t("There are no results here. Run Graft: Bulk Run… first."),
    placeHolder: vscode.l10n.t("Results to export"),
  });
}
