import * as vscode from "vscode";
import { samplingSettings } from "../config.ts";
import { failureOf } from "../failure.ts";
import type { GenerateEvent } from "../protocol/generationContract.ts";
import type { Session } from "../session.ts";
import { formatModel, formatRun, formatSeconds, formatSpeaker, formatTitle } from "./format.ts";
import { finishLine } from "./finish.ts";
import { formatPrediction } from "./prediction.ts";
import type { Work } from "./progress.ts";
import { throttle } from "./throttle.ts";

const scheme = "graft-answer";
/** What package.json knows the language of these documents by: they wrap and have no line numbers. */
const folder = "/graft-answer";

/** What a test prompt asks: a text, with a model for two the second one, or an image's file. */
export interface Question {
  text: string;
  pair?: string;
  image?: string;
}

interface Answer {
  model: string;
  question: Question;
  text: string;
  /** How far it is, then how it ended. At the top, where it is seen however long the answer is. */
  status: string;
  running: AbortController | undefined;
}

/** Answers to test prompts: read-only documents that fill while the model speaks. */
export class Answers implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly answers = new Map<string, Answer>();
  private readonly subscriptions: vscode.Disposable;
  readonly onDidChange = this.changed.event;

  constructor(private readonly session: Session) {
    this.subscriptions = vscode.Disposable.from(
      this.changed,
      vscode.workspace.registerTextDocumentContentProvider(scheme, this),
      vscode.workspace.onDidCloseTextDocument((document) => this.closed(document)),
    );
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    const answer = this.answers.get(uri.toString());
    if (!answer) return vscode.l10n.t("This answer was not kept. Run the test prompt again.");
    const { text, pair } = answer.question;
    const asked = pair === undefined ? text : `${text}\n\n${pair}`;
    const question = asked.replaceAll(/^/gm, "> ");
    const heading = [`# ${answer.model}`, answer.status].filter(Boolean).join(" — ");
    const parts = [heading, question, answer.text];
    return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
  }

  /** Shows the answer beside the editor, without taking the focus, and streams into it. */
  async run(question: Question, work: Work): Promise<void> {
    const { base, active } = this.session.state;
    const model = formatModel(base?.name ?? "", active);
    const speaker = formatSpeaker(base?.name ?? "", active);
    const uri = vscode.Uri.from({ scheme, path: `${folder}/${titleOf(speaker, question.text)}` });
    this.answers.get(uri.toString())?.running?.abort();
    const running = new AbortController();
    const answer: Answer = { model, question, text: "", status: "", running };
    work.signal.addEventListener("abort", () => answer.running?.abort());
    this.answers.set(uri.toString(), answer);
    this.changed.fire(uri);
    await this.show(uri);
    const writes = base === null || base.task === "language-modeling";
    await this.fill(uri, answer, () =>
      writes ? this.stream(uri, answer, work.onEvent) : this.predict(answer),
    );
  }

  /** Stops one answer, or all when none is named. */
  stop(uri: vscode.Uri | undefined): void {
    const named = uri && this.answers.get(uri.toString());
    for (const answer of named ? [named] : this.answers.values()) answer.running?.abort();
  }

  /** The question of an answer, to run it again. */
  questionOf(uri: vscode.Uri | undefined): Question | undefined {
    const key = (uri ?? vscode.window.activeTextEditor?.document.uri)?.toString() ?? "";
    return this.answers.get(key)?.question;
  }

  dispose(): void {
    for (const { running } of this.answers.values()) running?.abort();
    this.subscriptions.dispose();
  }

  /** Runs what makes an answer; how it ended is its status. */
  private async fill(uri: vscode.Uri, answer: Answer, make: () => Promise<void>): Promise<void> {
    this.mirrorRunning();
    try {
      await make();
    } catch (thrown) {
      const { code, message } = failureOf(thrown);
      answer.status = code === "cancelled" ? vscode.l10n.t("stopped") : message;
      throw thrown;
    } finally {
      answer.running = undefined;
      this.changed.fire(uri);
      this.mirrorRunning();
    }
  }

  /** The answer of a model that does not write text: its labels, its span, its numbers. */
  private async predict(answer: Answer): Promise<void> {
    const { text, pair, image } = answer.question;
    const input = image !== undefined ? { image } : pair !== undefined ? { text, pair } : text;
    const started = performance.now();
    const prediction = await this.session.predict(input, { signal: answer.running?.signal });
    answer.text = formatPrediction(prediction);
    answer.status = formatSeconds((performance.now() - started) / 1000);
  }

  private async stream(uri: vscode.Uri, answer: Answer, report: Work["onEvent"]): Promise<void> {
    const { request, flush } = throttle(() => this.changed.fire(uri), 100);
    const onEvent = (event: GenerateEvent): void => {
      answer.text = event.text;
      answer.status = formatRun(event);
      report({ step: answer.status });
      request();
    };
    const content = answer.question.text;
    try {
      const result = await this.session.generate(
        {
          prompt: { kind: "chat", messages: [{ role: "user", content }], orText: true },
          sampling: samplingSettings(),
        },
        { signal: answer.running?.signal, onEvent },
      );
      answer.text = result.text;
      answer.status = finishLine(result);
    } finally {
      flush();
    }
  }

  private async show(uri: vscode.Uri): Promise<void> {
    const document = await vscode.workspace.openTextDocument(uri);
    // Answers gather in one group, wherever the user has put it.
    const group = vscode.window.tabGroups.all.find((g) =>
      g.tabs.some((t) => t.input instanceof vscode.TabInputText && t.input.uri.scheme === scheme),
    );
    const { Active, Beside } = vscode.ViewColumn;
    const isEmpty = vscode.window.tabGroups.activeTabGroup.tabs.length === 0;
    await vscode.window.showTextDocument(document, {
      viewColumn: group?.viewColumn ?? (isEmpty ? Active : Beside),
      preserveFocus: true,
      preview: true,
    });
  }

  private closed(document: vscode.TextDocument): void {
    const key = document.uri.toString();
    this.answers.get(key)?.running?.abort();
    this.answers.delete(key);
  }

  /** Drives the Stop button in the title of an answer. */
  private mirrorRunning(): void {
    const running = [...this.answers].filter(([, a]) => a.running).map(([key]) => key);
    void vscode.commands.executeCommand("setContext", "graft.answering", running.length > 0);
  }
}

function titleOf(speaker: string, prompt: string): string {
  // A slash would end the name of the tab.
  return `${speaker}: ${formatTitle(prompt)}`.replaceAll(/[/\\]/g, "∕");
}
