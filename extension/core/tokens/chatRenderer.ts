import { t } from "@vscode/l10n";
import { Template } from "@huggingface/jinja";
import { GraftError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A conversation as data sets have it: messages with whatever fields their template knows. */
export interface RawChat {
  readonly messages: readonly JsonObject[];
  readonly tools?: readonly unknown[] | undefined;
  readonly addGenerationPrompt?: boolean;
}

/** From the first character up to, not including, the second. */
export type Span = readonly [start: number, end: number];

/** A chat template that was read once and renders many conversations. */
export interface ChatRenderer {
  render(chat: RawChat): string;
  /** What stands between the template's own marks of what a model writes; null where it has none. */
  renderMarked: ((chat: RawChat) => { text: string; spans: Span[] }) | null;
}

/** Characters of Unicode's private use, which no text of a conversation has. */
const [begin, end] = ["\uF8F0", "\uF8F1"];

/** @throws bad-file when the template cannot be read */
export function chatRenderer(tokenizer: Tokenizer): ChatRenderer | null {
  const { chatTemplate } = tokenizer;
  if (chatTemplate === null) return null;
  const render = compile(tokenizer, chatTemplate);
  const marked = markedTemplate(chatTemplate);
  const renderMarks = marked === null ? null : compile(tokenizer, marked);
  return { render, renderMarked: renderMarks && ((chat) => withoutMarks(renderMarks(chat))) };
}

function compile(tokenizer: Tokenizer, source: string): (chat: RawChat) => string {
  const failed = (error: unknown): Error =>
    new GraftError("bad-file", t("The chat template failed: {0}.", (error as Error).message));
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw failed(error);
  }
  return ({ messages, tools, addGenerationPrompt = false }) => {
    try {
      return template.render({
        ...tokenizer.specialTokens,
        messages,
        ...(tools && tools.length > 0 && { tools }),
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (error) {
      throw failed(error);
    }
  };
}

/**
 * Writes a character in place of `{% generation %}` and one of `{% endgeneration %}`. What a block's own
 * signs take away around them (its dashes; a line's end and the spaces before, as transformers sets
 * trim_blocks and lstrip_blocks) is taken away here, for text in their place would keep it.
 */
function markedTemplate(source: string): string | null {
  let hasMarks = false;
  const marked = source.replace(
    /(^[ \t]*)?\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}(\n?)/gm,
    (_, _before, left: string, ends: string | undefined, right: string) => {
      hasMarks = true;
      const [open, close] = [left === "-" ? "{{-" : "{{", right === "-" ? "-}}" : "}}"];
      return `${open} "${ends ? end : begin}" ${close}`;
    },
  );
  return hasMarks ? marked : null;
}

function withoutMarks(marked: string): { text: string; spans: Span[] } {
  const parts: string[] = [];
  const spans: Span[] = [];
  let [length, from, start] = [0, 0, 0];
  for (let i = 0; i <= marked.length; i++) {
    const character = marked[i];
    if (character !== undefined && character !== begin && character !== end) continue;
    parts.push(marked.slice(from, i));
    length += i - from;
    from = i + 1;
    if (character === begin) start = length;
    else if (character === end && length > start) spans.push([start, length]);
  }
  return { text: parts.join(""), spans };
}
