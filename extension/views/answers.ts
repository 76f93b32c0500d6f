import * as vscode from "vscode";
import { samplingSettings } from "../config.ts";
import { failureOf } from "../failure.ts";
import type { GenerateEvent, GenerateResult } from "../protocol/engineContract.ts";
import type { Session } from "../session.ts";
import { formatModel, formatRate, formatSpeaker, formatTitle } from "./format.ts";
import { finishLine } from "./finish.ts";
import type { Work } from "./progress.ts";
import { throttle } from "./throttle.ts";

const scheme = "graft-answer";
/** What package.json knows the language of these documents by: they wrap and have no line numbers. */
const folder = "/graft-answer";

interface Answer {
  model: string;
  prompt: string;
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
    const question = answer.prompt.replaceAll(/^/gm, "> ");
    const heading = [`# ${answer.model}`, answer.status].filter(Boolean).join(" — ");
    const parts = [heading, question, answer.text];
    return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
  }

  /** Shows the answer beside the editor, without taking the focus, and streams into it. */
  async run(prompt: string, work: Work): Promise<GenerateResult> {
    const { base, active } = this.session.state;
    const model = formatModel(base?.name ?? "", active);
    const speaker = formatSpeaker(base?.name ?? "", active);
    const uri = vscode.Uri.from({ scheme, path: `${folder}/${titleOf(speaker, prompt)}` });
    this.answers.get(uri.toString())?.running?.abort();
    const answer: Answer = { model, prompt, text: "", status: "", running: new AbortController() };
    work.signal.addEventListener("abort", () => answer.running?.abort());
    this.answers.set(uri.toString(), answer);
    this.changed.fire(uri);
    await this.show(uri);
    return this.stream(uri, answer, work.onEvent);
  }

  /** Stops one answer, or all when none is named. */
  stop(uri: vscode.Uri | undefined): void {
    const named = uri && this.answers.get(uri.toString());
    for (const answer of named ? [named] : this.answers.values()) answer.running?.abort();
  }

  /** The prompt of an answer, to run it again. */
  promptOf(uri: vscode.Uri | undefined): string | undefined {
    const key = (uri ?? vscode.window.activeTextEditor?.document.uri)?.toString() ?? "";
    return this.answers.get(key)?.prompt;
  }

  dispose(): void {
    for (const { running } of this.answers.values()) running?.abort();
    this.subscriptions.dispose();
  }

  private async stream(
    uri: vscode.Uri,
    answer: Answer,
    report: Work["onEvent"],
  ): Promise<GenerateResult> {
    const { request, flush } = throttle(() => this.changed.fire(uri), 100);
    const onEvent = (event: GenerateEvent): void => {
      answer.text = event.text;
      answer.status = `${event.tokens} tokens · ${formatRate(event.tokensPerSecond)}`;
      report({ step: answer.status });
      request();
    };
    this.mirrorRunning();
    try {
      const prompt = {
        kind: "chat",
        messages: [{ role: "user", content: answer.prompt }],
      } as const;
      const result = await this.session.generate(
        { prompt: { ...prompt, messages: [...prompt.messages] }, sampling: samplingSettings() },
        { signal: answer.running?.signal, onEvent },
      );
      answer.text = result.text;
      answer.status = finishLine(result);
      return result;
    } catch (thrown) {
      const { code, message } = failureOf(thrown);
      answer.status = code === "cancelled" ? vscode.l10n.t("stopped") : message;
      throw thrown;
    } finally {
      answer.running = undefined;
      flush();
      this.mirrorRunning();
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
