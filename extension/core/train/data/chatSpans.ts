import { t } from "@vscode/l10n";
import type { ChatRenderer, RawChat, Span } from "../../tokens/chatRenderer.ts";
import { type Fault, fault } from "./example.ts";

/** A conversation as text, and which parts of it the assistant writes. */
export interface RenderedChat {
  readonly text: string;
  readonly spans: readonly Span[];
}

/**
 * Finds the assistant's turns: by the template's own `{% generation %}` marks; otherwise by rendering the
 * beginning of the conversation up to each turn, where those are beginnings of the whole; otherwise (a
 * template that leaves out earlier thoughts) by marking the answers' texts, where that changes nothing else.
 * @param endTokens texts of tokens that may end a turn; what stands behind them is not the assistant's
 */
export function assistantSpans(
  renderer: ChatRenderer,
  chat: RawChat,
  endTokens: readonly string[],
): RenderedChat | Fault {
  if (!chat.messages.some(({ role }) => role === "assistant")) {
    return fault([], t("No message is the assistant's, so there is nothing to learn."));
  }
  if (renderer.renderMarked) {
    const marked = renderer.renderMarked(chat);
    if (marked.spans.length > 0) return marked;
  }
  const text = renderer.render(chat);
  const spans =
    byBeginnings(renderer, chat, text) ?? byMarkedAnswers(renderer, { chat, text, endTokens });
  if (spans !== null) {
    return { text, spans: spans.map((span) => endedAt(text, span, endTokens)) };
  }
  return fault(
    [],
    t(
      "The base's chat template does not tell which part of this conversation is the assistant's. Choose to learn all of it, or use a template with generation marks.",
    ),
  );
}

function byBeginnings(renderer: ChatRenderer, chat: RawChat, text: string): Span[] | null {
  const spans: Span[] = [];
  for (const [i, { role }] of chat.messages.entries()) {
    if (role !== "assistant") continue;
    const before = tryRender(renderer, {
      ...chat,
      messages: chat.messages.slice(0, i),
      addGenerationPrompt: true,
    });
    const after =
      i === chat.messages.length - 1
        ? text
        : tryRender(renderer, { ...chat, messages: chat.messages.slice(0, i + 1) });
    if (before === null || after === null) return null;
    if (!after.startsWith(before) || !text.startsWith(after)) return null;
    spans.push([before.length, after.length]);
  }
  return spans;
}

/** Templates refuse some beginnings (nothing at all, or a system message alone). */
function tryRender(renderer: ChatRenderer, chat: RawChat): string | null {
  try {
    return renderer.render(chat);
  } catch {
    return null;
  }
}

const [begin, end] = ["\uF8F2", "\uF8F3"];

function byMarkedAnswers(
  renderer: ChatRenderer,
  { chat, text, endTokens }: { chat: RawChat; text: string; endTokens: readonly string[] },
): Span[] | null {
  const messages = chat.messages.map((message) => {
    const { role, content } = message;
    if (role !== "assistant" || typeof content !== "string") return message;
    return { ...message, content: begin + content.trim() + end };
  });
  const marked = tryRender(renderer, { ...chat, messages });
  const answers = chat.messages.filter(({ role }) => role === "assistant").length;
  if (marked?.replaceAll(/[\uF8F2\uF8F3]/g, "") !== text) return null;
  const spans: Span[] = [];
  let removed = 0;
  for (let i = marked.indexOf(begin); i >= 0; i = marked.indexOf(begin, i + 1)) {
    const until = marked.indexOf(end, i);
    if (until < 0) return null;
    const start = i - removed;
    const stop = until - removed - 1;
    removed += 2;
    const closing = endTokens
      .filter((each) => text.startsWith(each, stop))
      .map((each) => each.length);
    spans.push([start, stop + Math.max(0, ...closing)]);
  }
  return spans.length === answers ? spans : null;
}

/** A line's end behind the token that ends a turn is not written by a model. */
function endedAt(text: string, [start, end]: Span, endTokens: readonly string[]): Span {
  const own = text.slice(start, end).trimEnd();
  return endTokens.some((each) => own.endsWith(each)) ? [start, start + own.length] : [start, end];
}
