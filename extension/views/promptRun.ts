import * as path from "node:path";
import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { failureOf } from "../failure.ts";
import type { PromptFile, TestRow } from "../prompts/promptFile.ts";
import { type Run, type RunResult, runTests } from "../prompts/run.ts";
import { promptEngine } from "./promptEngine.ts";
import { type ColumnWish, isLoaded, loadColumns } from "./promptModels.ts";
import type { Outcome } from "./promptOutcomes.ts";

/** A row under a column: one test. */
export interface TestLeaf {
  readonly row: TestRow;
  readonly wish: ColumnWish;
  readonly label: string;
}

type Leaf = { item: vscode.TestItem; leaf: TestLeaf };

/** Plays tests of one file within a run of the Testing view. */
export class PromptRun {
  onOutcome: (outcome: Outcome) => void = () => undefined;

  constructor(
    private readonly graft: Graft,
    private readonly run: vscode.TestRun,
    private readonly of: { uri: vscode.Uri; file: PromptFile; signal: AbortSignal },
  ) {}

  /** Loads what is needed, answers in batches, and says of each test how it went. */
  async play(leaves: readonly Leaf[]): Promise<void> {
    const { file, uri, signal } = this.of;
    const byLabel = new Map(leaves.map(({ leaf }) => [leaf.label, leaf.wish]));
    const model = file.model?.id;
    const at = { model, folder: path.dirname(uri.fsPath) };
    try {
      const { base, columns } = await loadColumns(this.graft, [...byLabel.values()], at);
      const labels = [...byLabel.keys()];
      const items = new Map<Run, vscode.TestItem>();
      for (const { item, leaf } of leaves) {
        const column = columns[labels.indexOf(leaf.label)];
        if (!column) continue;
        if (!isLoaded(column)) this.run.errored(item, messageAt(item, column.problem));
        else items.set({ row: leaf.row, column }, item);
      }
      const itemOf = (run: Run): vscode.TestItem => items.get(run) as vscode.TestItem;
      await runTests(file, [...items.keys()], {
        engine: promptEngine(this.graft),
        base,
        batch: vscode.workspace.getConfiguration("graft.prompts").get("batchSize", 16),
        onStart: (runs) => runs.forEach((run) => this.run.started(itemOf(run))),
        onResult: (run, result) => this.tell(itemOf(run), run, result),
        onError: (run, message) => this.run.errored(itemOf(run), messageAt(itemOf(run), message)),
        signal,
      });
    } catch (thrown) {
      const { code, message } = failureOf(thrown);
      if (code === "cancelled" || signal.aborted) return;
      this.fail(leaves, message);
    }
  }

  fail(leaves: readonly Leaf[], message: string): void {
    for (const { item } of leaves) this.run.errored(item, messageAt(item, message));
  }

  private tell(item: vscode.TestItem, { row, column }: Run, result: RunResult): void {
    const { answer, checks, passed, expected } = result;
    const ms = result.seconds * 1000;
    const lines = [
      `${column.label}: ${answer.text}`,
      ...checks.map(({ name, status, message }) => `  ${marks[status]} ${name}: ${message}`),
      ...(answer.finish === "length" ? [`  ${vscode.l10n.t("The answer was cut off.")}`] : []),
    ];
    const text = `${lines.join("\n")}\n`.replaceAll("\n", "\r\n");
    this.run.appendOutput(text, undefined, item);
    this.onOutcome({ row: row.index, column: column.label, passed, output: answer.text });
    if (passed) return this.run.passed(item, ms);
    const wrong = checks.filter(({ status }) => status === "failed");
    const said = wrong.map(({ name, message }) => `${name}: ${message}`);
    const message =
      expected === null
        ? messageAt(item, `${said.join("\n")}\n\n${answer.text}`)
        : vscode.TestMessage.diff(said.join("\n"), expected, answer.text);
    message.location ??= locationOf(item);
    this.run.failed(item, message, ms);
  }
}

const marks = { passed: "✓", failed: "✗", skipped: "–" };

function messageAt(item: vscode.TestItem, text: string): vscode.TestMessage {
  const message = new vscode.TestMessage(text);
  message.location = locationOf(item);
  return message;
}

function locationOf({ uri, range }: vscode.TestItem): vscode.Location | undefined {
  return uri && range ? new vscode.Location(uri, range) : undefined;
}
