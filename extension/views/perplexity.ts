import * as path from "node:path";
import * as vscode from "vscode";
import { requireBase } from "../commands/steps.ts";
import type { Graft } from "../context.ts";
import { perplexityReport } from "../prompts/perplexityReport.ts";
import { chooseColumns, loadChosen } from "./chooseColumns.ts";
import { withProgress } from "./progress.ts";

/** A model reads some hundred thousand tokens in an hour; more is a mistake in the choice of file. */
const longestText = 4_000_000;

/** Measures a text under base and adapters, and shows the figures as a page. */
export async function measurePerplexity(graft: Graft, argument: unknown): Promise<void> {
  if (!(await requireBase(graft, vscode.l10n.t("Measuring perplexity")))) return;
  const given = await chooseText(argument);
  if (!given) return;
  if (given.text.length > longestText) {
    const text = vscode.l10n.t("{0} is longer than 4 MB. Select a part of it.", given.title);
    void vscode.window.showWarningMessage(text);
    return;
  }
  const wishes = await chooseColumns(graft, vscode.l10n.t("Models to measure"));
  if (!wishes) return;
  const columns = await loadChosen(graft, wishes);
  const { base } = graft.session.state;
  if (!base) return;
  const title = vscode.l10n.t("Perplexity of {0}", given.title);
  const params = {
    base: base.path,
    text: given.text,
    columns: columns.map(({ adapters }) => adapters),
  };
  const result = await withProgress(title, (work) =>
    graft.engine.request("perplexity", params, work),
  );
  const labels = columns.map(({ label }) => label);
  const page = perplexityReport(result, { title: given.title, base: base.name, labels });
  await graft.reports.show(title, page);
}

/** A file that was clicked, the selection, the text in the editor, or a file that the user picks. */
async function chooseText(argument: unknown): Promise<{ title: string; text: string } | undefined> {
  const editor = vscode.window.activeTextEditor;
  if (!(argument instanceof vscode.Uri) && editor) {
    const { document, selection } = editor;
    const name = path.posix.basename(document.uri.path);
    if (selection.isEmpty) return { title: name, text: document.getText() };
    const title = vscode.l10n.t(
      "{0}, lines {1} to {2}",
      name,
      selection.start.line + 1,
      selection.end.line + 1,
    );
    return { title, text: document.getText(selection) };
  }
  const title = vscode.l10n.t("Text to measure");
  const uri =
    argument instanceof vscode.Uri
      ? argument
      : (await vscode.window.showOpenDialog({ title }))?.[0];
  if (!uri) return undefined;
  const bytes = await vscode.workspace.fs.readFile(uri);
  return { title: path.posix.basename(uri.path), text: new TextDecoder().decode(bytes) };
}
