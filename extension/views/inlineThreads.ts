import * as vscode from "vscode";
import type { Models } from "../columns.ts";
import { type Span, spanAfter } from "../inline/trackedRange.ts";
import { Conversation, ThreadComment } from "./inlineConversation.ts";

/** The piece of a document that a conversation is about, followed through edits. */
interface Anchor {
  readonly uri: vscode.Uri;
  span: Span;
  /** Its text as it was asked, or as an answer replaced it. */
  text: string;
}

/** The inline playground: conversations under a selection, in any text editor. */
export class InlineThreads implements vscode.Disposable {
  private readonly controller = vscode.comments.createCommentController("graft.inline", "Graft");
  private readonly conversations = new Map<vscode.CommentThread, Conversation>();
  private readonly anchors = new Map<Conversation, Anchor>();
  private readonly changes: vscode.Disposable;

  constructor(private readonly models: Models) {
    this.controller.options = {
      prompt: vscode.l10n.t("Reply"),
      placeHolder: vscode.l10n.t("Go on asking"),
    };
    this.changes = vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      for (const anchor of this.anchors.values()) {
        if (anchor.uri.toString() !== document.uri.toString()) continue;
        anchor.span = spanAfter(anchor.span, contentChanges);
      }
    });
  }

  /** Opens a thread under a piece of a document; `begin` of what comes back asks the question. */
  open(document: vscode.TextDocument, range: vscode.Range, question: string): Conversation {
    const { uri } = document;
    const others = (own: Conversation): number =>
      [...this.conversations.values()].filter((each) => each !== own && each.isRunning).length;
    const conversation: Conversation = new Conversation(
      { models: this.models, othersRunning: () => others(conversation) },
      question,
      (comments) => this.controller.createCommentThread(uri, range, comments),
    );
    const span = { start: document.offsetAt(range.start), end: document.offsetAt(range.end) };
    this.conversations.set(conversation.thread, conversation);
    this.anchors.set(conversation, { uri, span, text: document.getText(range) });
    return conversation;
  }

  /** The conversation that a menu's argument (a thread, a reply or a comment) belongs to. */
  find(argument: unknown): Conversation | undefined {
    if (argument instanceof ThreadComment) return argument.conversation;
    const reply = argument as Partial<vscode.CommentReply> | undefined;
    const thread = reply?.thread ?? (argument as vscode.CommentThread | undefined);
    return thread && this.conversations.get(thread);
  }

  /** Where a conversation's piece of the document stands now, and whether somebody edited it. */
  async place(
    conversation: Conversation,
  ): Promise<
    { document: vscode.TextDocument; range: vscode.Range; isEdited: boolean } | undefined
  > {
    const anchor = this.anchors.get(conversation);
    if (!anchor) return undefined;
    const document = await vscode.workspace.openTextDocument(anchor.uri);
    const { start, end } = anchor.span;
    const range = new vscode.Range(document.positionAt(start), document.positionAt(end));
    return { document, range, isEdited: document.getText(range) !== anchor.text };
  }

  /** An answer stands where the selection stood: that is what is replaced next. */
  replaced(conversation: Conversation, text: string): void {
    const anchor = this.anchors.get(conversation);
    if (!anchor) return;
    anchor.text = text;
    anchor.span = { start: anchor.span.start, end: anchor.span.start + text.length };
  }

  /** Shows threads under their pieces again: the editor leaves one behind at whose start something is put in. */
  follow(document: vscode.TextDocument): void {
    for (const [{ thread }, { uri, span }] of this.anchors) {
      if (uri.toString() !== document.uri.toString()) continue;
      const { start, end } = span;
      thread.range = new vscode.Range(document.positionAt(start), document.positionAt(end));
    }
  }

  close(conversation: Conversation): void {
    this.conversations.delete(conversation.thread);
    this.anchors.delete(conversation);
    conversation.dispose();
  }

  dispose(): void {
    this.changes.dispose();
    for (const conversation of this.conversations.values()) conversation.dispose();
    this.controller.dispose();
  }
}
