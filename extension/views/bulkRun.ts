import * as path from "node:path";
import * as vscode from "vscode";
import { requireBase } from "../commands/steps.ts";
import { choosePromptFile } from "../commands/runPromptFile.ts";
import { samplingSettings } from "../config.ts";
import type { Graft } from "../context.ts";
import {
  type BulkOptions,
  type BulkProgress,
  clearResults,
  countDone,
  runBulk,
} from "../prompts/bulk.ts";
import { type BulkRow, dataKind, hasOwnPrompts, readBulkData } from "../prompts/bulkData.ts";
import { parsePromptFile } from "../prompts/parse.ts";
import { sayProblem } from "../prompts/problem.ts";
import type { PromptFile } from "../prompts/promptFile.ts";
import { samplingOf } from "../prompts/run.ts";
import { HostError } from "../failure.ts";
import { offerExport, showResults } from "./bulkResults.ts";
import { chooseColumns, loadChosen } from "./chooseColumns.ts";
import { formatRate, formatSeconds } from "./format.ts";
import { promptEngine } from "./promptEngine.ts";

/** Asks for data, template and models, answers all, and shows what was said as a table. */
export async function bulkRun(graft: Graft, argument: unknown): Promise<void> {
  if (!(await requireBase(graft, vscode.l10n.t("A bulk run")))) return;
  const data = argument instanceof vscode.Uri ? argument : await chooseData();
  if (!data) return;
  const read = await readData(data);
  if (!read) return;
  const placeHolder = vscode.l10n.t("Who answers {0} prompts?", read.rows.length);
  const wishes = await chooseColumns(graft, placeHolder);
  if (!wishes) return;
  const columns = await loadChosen(graft, wishes);
  const { base } = graft.session.state;
  if (!base) return;
  const options: Omit<BulkOptions, "signal"> = {
    engine: promptEngine(graft),
    base,
    columns,
    sampling: read.template ? samplingOf(read.template) : samplingSettings(),
    batch: vscode.workspace.getConfiguration("graft.prompts").get("batchSize", 16),
    results: data.fsPath.replace(/\.[^.\\/]+$/, "") + ".results.jsonl",
  };
  if (await isToBegin(read.rows, options)) await work(graft, read.rows, options);
}

async function chooseData(): Promise<vscode.Uri | undefined> {
  const open = vscode.window.activeTextEditor?.document.uri;
  if (open?.scheme === "file" && dataKind(open.path)) return open;
  const found = await vscode.workspace.findFiles(
    "**/*.{jsonl,ndjson,csv,tsv}",
    "**/node_modules/**",
    500,
  );
  const files = found.filter(({ path: name }) => !name.endsWith(".results.jsonl"));
  const browse = vscode.l10n.t("Browse…");
  const items = files.map((uri) => ({ label: vscode.workspace.asRelativePath(uri), uri }));
  const all = [...items, { label: browse, uri: undefined }];
  const placeHolder = vscode.l10n.t("JSONL or CSV file with prompts");
  const chosen =
    items.length === 0 ? all[0] : await vscode.window.showQuickPick(all, { placeHolder });
  if (!chosen) return undefined;
  if (chosen.uri) return chosen.uri;
  const filters = { [vscode.l10n.t("Prompts")]: ["jsonl", "ndjson", "csv", "tsv"] };
  return (await vscode.window.showOpenDialog({ title: placeHolder, filters }))?.[0];
}

/** The prompts of a file; where it has only values, of a prompt file that they are put into. */
async function readData(
  data: vscode.Uri,
): Promise<{ rows: BulkRow[]; template: PromptFile | undefined } | undefined> {
  const file = path.basename(data.fsPath);
  const kind = dataKind(file);
  if (!kind) {
    const text = vscode.l10n.t(
      "{0} is neither JSONL nor CSV: .jsonl, .ndjson, .csv or .tsv.",
      file,
    );
    throw new HostError("bad-request", text);
  }
  const text = new TextDecoder().decode(await vscode.workspace.fs.readFile(data));
  if (hasOwnPrompts(text, kind)) {
    return { rows: readBulkData(text, { file, kind }), template: undefined };
  }
  const uri = await choosePromptFile();
  if (!uri) return undefined;
  const source = new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
  const template = parsePromptFile(source);
  const wrong = template.problems.find(({ severity }) => severity === "error");
  if (wrong) throw new HostError("bad-file", sayProblem(path.basename(uri.fsPath), source, wrong));
  return { rows: readBulkData(text, { file, kind, template }), template };
}

/** Goes on with what is there, or begins anew, as the user wants. */
async function isToBegin(
  rows: readonly BulkRow[],
  options: Omit<BulkOptions, "signal">,
): Promise<boolean> {
  const idle = { ...options, signal: new AbortController().signal };
  const { done, total, others } = await countDone(rows, idle);
  if (done === 0 && others === 0) return true;
  const name = path.basename(options.results);
  const goOn =
    done === total
      ? vscode.l10n.t("Show results")
      : vscode.l10n.t("Go on: {0} of {1} are done", done, total);
  const anew = vscode.l10n.t("Begin anew");
  const detail = vscode.l10n.t("{0} answers in {1} are replaced", done + others, name);
  const items = [{ label: goOn }, { label: anew, detail }];
  const placeHolder = vscode.l10n.t("{0} holds answers already", name);
  const chosen = await vscode.window.showQuickPick(items, { placeHolder, ignoreFocusOut: true });
  if (chosen?.label === anew) await clearResults(options.results);
  return chosen !== undefined;
}

async function work(
  graft: Graft,
  rows: readonly BulkRow[],
  options: Omit<BulkOptions, "signal">,
): Promise<void> {
  const stop = new AbortController();
  const name = path.basename(options.results);
  const title = vscode.l10n.t("Bulk run");
  const location = vscode.ProgressLocation.Notification;
  const { records, total } = await vscode.window.withProgress(
    { location, title, cancellable: true },
    (bar, token) => {
      token.onCancellationRequested(() => stop.abort());
      let shown = 0;
      const onProgress = (progress: BulkProgress): void => {
        const percent = (progress.done / Math.max(1, progress.total)) * 100;
        bar.report({ message: progressLine(progress), increment: percent - shown });
        shown = percent;
      };
      return runBulk(rows, { ...options, onProgress, signal: stop.signal });
    },
  );
  if (records.length > 0) await showResults(graft, options.results, records);
  const text =
    records.length < total
      ? vscode.l10n.t(
          "Stopped: {0} of {1} answers are in {2}. Run it again to go on.",
          records.length,
          total,
          name,
        )
      : vscode.l10n.t("{0} answers are in {1}.", total, name);
  const failed = records.filter(({ error }) => error !== undefined);
  const [first] = failed;
  if (first?.error !== undefined) {
    const why = vscode.l10n.t("{0} prompts have no answer. {1}", failed.length, first.error);
    void vscode.window.showWarningMessage(why);
  }
  offerExport(graft, text, vscode.Uri.file(options.results));
}

function progressLine({ done, total, tokensPerSecond, secondsLeft }: BulkProgress): string {
  const parts = [vscode.l10n.t("{0} of {1}", done, total)];
  if (tokensPerSecond > 0) parts.push(formatRate(tokensPerSecond));
  if (secondsLeft !== null) parts.push(vscode.l10n.t("{0} left", formatSeconds(secondsLeft)));
  return parts.join(" · ");
}
