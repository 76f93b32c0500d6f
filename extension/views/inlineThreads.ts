import * as vscode from "vscode";
import { samplingSettings } from "../config.ts";
import { failureOf } from "../failure.ts";
import type { ChatMessage } from "../protocol/engineContract.ts";
import type { Session } from "../session.ts";
import { formatModel, formatSpeaker } from "./format.ts";
import { finishLine } from "./finish.ts";
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
    author: string,
  ) {
    this.author = { name: author };
  }
}

/** What the user and the model said to each other under one piece of a document. */
export class Conversation {
  readonly thread: vscode.CommentThread;
  private readonly messages: ChatMessage[] = [];
  private readonly comments: ThreadComment[] = [];
  private running: AbortController | undefined;
  private disposed = false;

  constructor(
    private readonly session: Session,
    open: (comments: vscode.Comment[]) => vscode.CommentThread,
  ) {
    // A thread that begins empty is taken for a draft: its reply box would open and take the focus.
    this.thread = open([this.placeholder()]);
    this.thread.contextValue = "streaming";
    this.thread.collapsibleState = vscode.CommentThreadCollapsibleState.Expanded;
  }

  /** Asks and streams the answer. The first question is the selection itself, so not repeated. */
  async ask(question: string): Promise<void> {
    this.stop();
    if (this.messages.length > 0) {
      const comment = new ThreadComment(this, "question", vscode.l10n.t("You"));
      comment.body = question;
      this.comments.push(comment);
    }
    this.messages.push({ role: "user", content: question });
    await this.answer();
  }

  /** Takes back the last answer and asks for another, from the models that are active now. */
  async regenerate(): Promise<void> {
    this.stop();
    if (this.messages.at(-1)?.role === "assistant") this.messages.pop();
    if (this.comments.at(-1)?.contextValue === "answer") this.comments.pop();
    await this.answer();
  }

  stop(): void {
    this.running?.abort();
  }

  lastAnswer(): string | undefined {
    return this.comments.findLast((comment) => comment.contextValue === "answer")?.body;
  }

  dispose(): void {
    this.disposed = true;
    this.stop();
    this.thread.dispose();
  }

  private async answer(): Promise<void> {
    const { base, active } = this.session.state;
    const comment = this.placeholder();
    const running = new AbortController();
    this.thread.label = formatModel(base?.name ?? "", active);
    this.comments.push(comment);
    this.running = running;
    const { request, flush } = throttle(() => this.draw(), drawMs);
    flush();
    try {
      const result = await this.session.generate(
        { prompt: { kind: "chat", messages: [...this.messages] }, sampling: samplingSettings() },
        {
          signal: running.signal,
          onEvent: ({ text }) => {
            comment.body = text || waiting;
            request();
          },
        },
      );
      comment.body = result.text;
      comment.label = finishLine(result);
    } catch (thrown) {
      const { code, message } = failureOf(thrown);
      comment.label = code === "cancelled" ? vscode.l10n.t("stopped") : message;
      if (code !== "cancelled") throw thrown;
    } finally {
      this.keep(comment);
      if (this.running === running) this.running = undefined;
      flush();
    }
  }

  /** What was said before a stop or a failure stays part of the conversation. */
  private keep(comment: ThreadComment): void {
    if (comment.body === waiting) comment.body = "";
    if (this.comments.includes(comment)) {
      this.messages.push({ role: "assistant", content: comment.body });
    }
  }

  private placeholder(): ThreadComment {
    const { base, active } = this.session.state;
    const comment = new ThreadComment(this, "answer", formatSpeaker(base?.name ?? "", active));
    comment.body = waiting;
    return comment;
  }

  private draw(): void {
    if (this.disposed) return;
    this.thread.contextValue = this.running ? "streaming" : "idle";
    this.thread.comments = [...this.comments];
  }
}

/** The inline playground: conversations under a selection, in any text editor. */
export class InlineThreads implements vscode.Disposable {
  private readonly controller = vscode.comments.createCommentController("graft.inline", "Graft");
  private readonly conversations = new Map<vscode.CommentThread, Conversation>();

  constructor(private readonly session: Session) {
    this.controller.options = {
      prompt: vscode.l10n.t("Reply"),
      placeHolder: vscode.l10n.t("Go on asking"),
    };
  }

  async start(uri: vscode.Uri, range: vscode.Range, question: string): Promise<void> {
    const conversation = new Conversation(this.session, (comments) =>
      this.controller.createCommentThread(uri, range, comments),
    );
    this.conversations.set(conversation.thread, conversation);
    await conversation.ask(question);
  }

  /** The conversation that a menu's argument (a thread, a reply or a comment) belongs to. */
  find(argument: unknown): Conversation | undefined {
    if (argument instanceof ThreadComment) return argument.conversation;
    const reply = argument as Partial<vscode.CommentReply> | undefined;
    const thread = reply?.thread ?? (argument as vscode.CommentThread | undefined);
    return thread && this.conversations.get(thread);
  }

  close(conversation: Conversation): void {
    this.conversations.delete(conversation.thread);
    conversation.dispose();
  }

  dispose(): void {
    for (const conversation of this.conversations.values()) conversation.dispose();
    this.controller.dispose();
  }
}
