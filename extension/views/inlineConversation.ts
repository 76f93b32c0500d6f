import { randomUUID } from "node:crypto";
import * as vscode from "vscode";
import { answeringBase, askColumns, type Models } from "../columns.ts";
import { samplingSettings } from "../config.ts";
import { failureOf } from "../failure.ts";
import { comparedSpeakers } from "../inline/speakers.ts";
import type { ActiveAdapter } from "../protocol/engineContract.ts";
import type { ChatMessage } from "../protocol/generationContract.ts";
import type {
  GenerateColumnsEvent,
  GenerateColumnsResult,
} from "../protocol/generationContract.ts";
import { finishLine } from "./finish.ts";
import { formatModel, formatSpeaker } from "./format.ts";
import { throttle } from "./throttle.ts";

/** The host gathers changes of a thread for 100 ms and starts over with each; stay above. */
const drawMs = 150;

/** Stands where an answer will. */
const waiting = "…";

/** One message of a thread; knows its conversation, since menus hand over the comment alone. */
export class ThreadComment implements vscode.Comment {
  mode = vscode.CommentMode.Preview;
  body = "";
  label: string | undefined;
  readonly author: vscode.CommentAuthorInformation;

  constructor(
    readonly conversation: Conversation,
    readonly contextValue: "question" | "answer",
    /** Of an answer: who gives it; of a question nobody. */
    readonly adapters: readonly ActiveAdapter[],
    author: string,
  ) {
    this.author = { name: author };
  }
}

/** A question and its answers; the conversation goes on with the first of them. */
interface Turn {
  readonly question: ThreadComment;
  /** As it was asked; while a comment is edited its body runs ahead. */
  asked: string;
  readonly answers: ThreadComment[];
}

/** What a conversation needs of what surrounds it. */
export interface Surroundings {
  readonly models: Models;
  /** How many other conversations are being answered now. */
  othersRunning(): number;
}

/** What the user and the models said to each other under one piece of a document. */
export class Conversation {
  readonly thread: vscode.CommentThread;
  private turns: Turn[] = [];
  private running: AbortController | undefined;
  private disposed = false;

  constructor(
    private readonly around: Surroundings,
    question: string,
    open: (comments: vscode.Comment[]) => vscode.CommentThread,
  ) {
    this.addQuestion(question);
    // A thread that begins empty is taken for a draft: its reply box would open and take the focus.
    this.thread = open(this.comments());
    this.thread.contextValue = "streaming";
    this.thread.collapsibleState = vscode.CommentThreadCollapsibleState.Expanded;
  }

  get isRunning(): boolean {
    return this.running !== undefined;
  }

  /** Asks the question that the thread was opened with. */
  begin(): Promise<void> {
    return this.answer([this.active()]);
  }

  async ask(question: string): Promise<void> {
    this.stop();
    this.addQuestion(question);
    await this.answer([this.active()]);
  }

  /** Takes back the last answers and asks for others: one from what is active now, or all again. */
  async regenerate(): Promise<void> {
    this.stop();
    const answers = this.turns.at(-1)?.answers ?? [];
    const speakers = answers.map(({ adapters }) => [...adapters]);
    answers.length = 0;
    await this.answer(speakers.length > 1 ? speakers : [this.active()]);
  }

  /** Lets base and adapters answer the last question beside what is there. False when all have. */
  async compare(): Promise<boolean> {
    this.stop();
    const answered = this.turns.at(-1)?.answers ?? [];
    const { state } = this.around.models.session;
    const speakers = comparedSpeakers(
      state,
      answered.map(({ adapters }) => adapters),
    );
    if (speakers.length === 0) return false;
    await this.answer(speakers);
    return true;
  }

  stop(): void {
    this.running?.abort();
    this.running = undefined;
  }

  /** Makes a question a text field, or shows it as it was again. */
  edit(question: ThreadComment, isOn: boolean): void {
    const turn = this.turns.find((each) => each.question === question);
    if (!turn) return;
    question.mode = isOn ? vscode.CommentMode.Editing : vscode.CommentMode.Preview;
    question.body = turn.asked;
    this.draw();
  }

  /** Asks a question anew as it was edited; what followed it goes. */
  async askEdited(question: ThreadComment): Promise<void> {
    const at = this.turns.findIndex((each) => each.question === question);
    const turn = this.turns[at];
    if (!turn) return;
    this.stop();
    turn.asked = question.body.trim() || turn.asked;
    question.body = turn.asked;
    question.mode = vscode.CommentMode.Preview;
    turn.answers.length = 0;
    this.turns = this.turns.slice(0, at + 1);
    await this.answer([this.active()]);
  }

  lastAnswer(): string | undefined {
    return this.turns.at(-1)?.answers[0]?.body;
  }

  dispose(): void {
    this.disposed = true;
    this.stop();
    this.thread.dispose();
  }

  private active(): ActiveAdapter[] {
    return [...this.around.models.session.state.active];
  }

  private addQuestion(text: string): void {
    const question = new ThreadComment(this, "question", [], vscode.l10n.t("You"));
    question.body = text;
    this.turns.push({ question, asked: text, answers: [] });
  }

  /** Streams one answer of each speaker to the last question. */
  private async answer(speakers: ActiveAdapter[][]): Promise<void> {
    const turn = this.turns.at(-1);
    if (!turn) return;
    const { models } = this.around;
    const messages = this.messages();
    const comments = speakers.map((adapters) => this.placeholder(adapters));
    turn.answers.push(...comments);
    const running = new AbortController();
    this.running = running;
    this.entitle(turn);
    const { request, flush } = throttle(() => this.draw(), drawMs);
    flush();
    try {
      answeringBase(models.session);
      const result = await askColumns(
        models,
        {
          run: randomUUID(),
          prompt: { kind: "chat", messages, orText: true },
          columns: speakers.map((adapters, i) => ({ id: String(i), adapters })),
          sampling: samplingSettings(),
        },
        {
          signal: running.signal,
          onEvent: (event) => {
            show(comments, event);
            request();
          },
        },
      );
      finish(comments, result);
    } catch (thrown) {
      const { code, message } = failureOf(thrown);
      const label = code === "cancelled" ? vscode.l10n.t("stopped") : message;
      for (const comment of comments) comment.label = label;
      if (code !== "cancelled") throw thrown;
    } finally {
      for (const comment of comments) if (comment.body === waiting) comment.body = "";
      if (this.running === running) this.running = undefined;
      flush();
    }
  }

  /** The last question after all that was said before it; of several answers the first counts. */
  private messages(): ChatMessage[] {
    return this.turns.flatMap(({ asked, answers }, i): ChatMessage[] => {
      const question = { role: "user" as const, content: asked };
      if (i === this.turns.length - 1) return [question];
      return [question, { role: "assistant", content: answers[0]?.body ?? "" }];
    });
  }

  private placeholder(adapters: readonly ActiveAdapter[]): ThreadComment {
    const base = this.around.models.session.state.base?.name ?? "";
    const comment = new ThreadComment(this, "answer", adapters, formatSpeaker(base, adapters));
    comment.body = waiting;
    const others = this.around.othersRunning();
    if (others > 0) {
      comment.label =
        others === 1
          ? vscode.l10n.t("waits: another conversation is being answered")
          : vscode.l10n.t("waits: {0} other conversations are being answered", others);
    }
    return comment;
  }

  /** The head of the thread: who answers. */
  private entitle({ answers }: Turn): void {
    const base = this.around.models.session.state.base?.name ?? "";
    const [only, ...others] = answers;
    this.thread.label =
      others.length === 0
        ? formatModel(base, only?.adapters ?? [])
        : vscode.l10n.t("{0}: {1} compared", base, answers.length);
  }

  private comments(): ThreadComment[] {
    return this.turns.flatMap(({ question, answers }) => [question, ...answers]);
  }

  private draw(): void {
    if (this.disposed) return;
    this.thread.contextValue = this.running ? "streaming" : "idle";
    this.thread.comments = this.comments();
  }
}

function show(
  comments: readonly ThreadComment[],
  { columns, oneByOne }: GenerateColumnsEvent,
): void {
  for (const { id, text, tokens } of columns) {
    const comment = comments[Number(id)];
    if (!comment) continue;
    comment.body = text || waiting;
    if (tokens > 0) comment.label = undefined;
    else if (oneByOne !== "") comment.label = vscode.l10n.t("waits for its turn");
  }
}

function finish(comments: readonly ThreadComment[], { columns }: GenerateColumnsResult): void {
  for (const column of columns) {
    const comment = comments[Number(column.id)];
    if (!comment) continue;
    comment.body = column.text;
    comment.label = finishLine(column);
  }
}
