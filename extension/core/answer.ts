import { type BaseModel, requireTokenizer } from "./baseModel.ts";
import type { BaseInputs } from "./baseSession.ts";
import type { ActiveAdapter } from "./loadedAdapters.ts";
import { withDraftModel } from "./draftModel.ts";
import { AnswerWriter, type WrittenToken } from "./tokens/answerWriter.ts";
import { type Message, renderChat, type Tool, type ToolCall } from "./tokens/chatTemplate.ts";
import { type Generated, generate } from "./tokens/generate.ts";
import type { Speculation } from "./tokens/draft/speculation.ts";
import { greedy, type Sampling } from "./tokens/sampler.ts";
import type { Tokenizer } from "./tokens/tokenizer.ts";
import { toolFormatOf } from "./tokens/toolCalls.ts";

export type Prompt =
  | {
      readonly kind: "chat";
      readonly messages: readonly Message[];
      readonly tools?: readonly Tool[];
      /** Without a chat template the messages are read as one text, instead of being refused. */
      readonly orText?: boolean;
    }
  | { readonly kind: "text"; readonly text: string };

export interface AnswerOptions {
  readonly sampling?: Sampling;
  readonly maxNewTokens?: number;
  /** Adapters for this answer alone; the active ones when absent. */
  readonly adapters?: readonly ActiveAdapter[];
  /** Follow what is active: other adapters and weights act from the next token on. */
  readonly live?: boolean;
  /** Keep each token's probability and so many of the likeliest. */
  readonly topAlternatives?: number | undefined;
  /** Whether tokens are read ahead; "auto" when absent. */
  readonly speculation?: Speculation;
  /**
   * A smaller base of the same tokens that proposes what is read ahead (transformers' `assistant_model`):
   * the answer stays what it is without. Used where it was measured to save time.
   */
  readonly draftModel?: BaseModel | null;
  /** False reads a prompt anew, also where an answer before began the same. */
  readonly reuse?: boolean;
  /** The whole text so far, with each token. */
  readonly onText?: (text: string, tokens: number) => void;
  readonly signal?: AbortSignal;
}

interface Written {
  readonly text: string;
  /** The stop text that ended it. */
  readonly stoppedBy: string | null;
  /** What it wants to have called; not part of the text. */
  readonly toolCalls: readonly ToolCall[];
  /** Each token with its probability, where `topAlternatives` asked for that. */
  readonly tokens: readonly WrittenToken[];
}

export interface Answer extends Generated, Written {
  readonly promptTokens: number;
  readonly adapters: readonly ActiveAdapter[];
}

/** A model as answers need it. */
export interface Answering {
  readonly base: BaseModel;
  readonly currentAdapters: readonly ActiveAdapter[];
  readonly currentInputs: BaseInputs;
  readonly mergedAdapters: readonly ActiveAdapter[];
  inputsOf(adapters: readonly ActiveAdapter[]): BaseInputs;
  tokenizerFor(adapters: readonly ActiveAdapter[]): Tokenizer | null;
}

/** Answers one prompt. */
export async function answer(
  model: Answering,
  prompt: Prompt,
  options: AnswerOptions,
): Promise<Answer> {
  const { sampling = greedy, maxNewTokens = 256, signal, live } = options;
  const adapters = options.adapters ?? model.currentAdapters;
  const ids = encodePrompt(model, prompt, adapters);
  const inputs = options.adapters ? model.inputsOf(options.adapters) : model.currentInputs;
  const writer = answerWriter(model, { prompt, adapters }, options);
  const tokenizer = promptTokenizer(model, adapters);
  const draftModel = options.speculation === "off" ? null : (options.draftModel ?? null);
  const draftWith = { base: model.base, tokenizer, draftModel };
  const generated = await withDraftModel(draftWith, inputs, (session, draft) =>
    generate(
      session,
      { prompt: ids, adapters: inputs },
      {
        sampling,
        maxNewTokens,
        stopTokens: stopTokens(model, adapters),
        constraint: writer.constraint,
        ...(options.reuse === false && { reuse: false }),
        ...(options.speculation && { speculation: options.speculation }),
        draft,
        ...(signal && { signal }),
        ...(live && { adaptersNow: () => liveInputs(model, inputs) }),
        onToken: (id, logits) => {
          writer.push(id, logits);
          options.onText?.(writer.text, writer.length);
        },
        isEnd: () => writer.isEnd,
      },
    ),
  );
  return { ...generated, ...written(writer), promptTokens: ids.length, adapters };
}

/** What turns the tokens of a prompt's answer into text. */
export function answerWriter(
  model: Pick<Answering, "base" | "tokenizerFor">,
  { prompt, adapters }: { prompt: Prompt; adapters: readonly ActiveAdapter[] },
  { sampling = greedy, topAlternatives }: Pick<AnswerOptions, "sampling" | "topAlternatives">,
): AnswerWriter {
  const tokenizer = promptTokenizer(model, adapters);
  const hasTools = prompt.kind === "chat" && (prompt.tools ?? []).length > 0;
  return new AnswerWriter(tokenizer, {
    sampling,
    stopTokens: stopTokens(model, adapters),
    topAlternatives,
    toolFormat: hasTools ? toolFormatOf(tokenizer.chatTemplate) : null,
  });
}

/** The text and what else is known of an answer that has ended. */
export function written(writer: AnswerWriter): Written {
  writer.finish();
  const { text, stoppedBy, toolCalls } = writer;
  return { text, stoppedBy, toolCalls, tokens: writer.written(0) };
}

/** The active inputs, where they are for the session that an answer began in; else its own. */
function liveInputs(
  { currentInputs: now, mergedAdapters }: Answering,
  own: BaseInputs,
): BaseInputs {
  const isSame = now.order === own.order && now.tensors.size === own.tensors.size;
  return isSame && mergedAdapters.length === 0 ? now : own;
}

/** Token ids of a prompt for these adapters, one of which may bring a tokenizer of its own. */
export function encodePrompt(
  model: Pick<Answering, "base" | "tokenizerFor">,
  prompt: Prompt,
  adapters: readonly ActiveAdapter[],
): number[] {
  return renderPrompt(model, prompt, adapters).ids;
}

/** A prompt as the model reads it. */
export function renderPrompt(
  model: Pick<Answering, "base" | "tokenizerFor">,
  prompt: Prompt,
  adapters: readonly ActiveAdapter[],
): { text: string; ids: number[] } {
  const tokenizer = promptTokenizer(model, adapters);
  if (prompt.kind === "text") return { text: prompt.text, ids: tokenizer.encode(prompt.text) };
  if (prompt.orText === true && tokenizer.chatTemplate === null) {
    // As the messages of prompt files are joined.
    const text = prompt.messages.map(({ content }) => content).join("\n\n");
    return { text, ids: tokenizer.encode(text) };
  }
  const text = renderChat(tokenizer, prompt.messages, { tools: prompt.tools });
  return { text, ids: tokenizer.encode(text, { addSpecialTokens: false }) };
}

/** The tokenizer in use, or the reason why prompts cannot be run. */
export function promptTokenizer(
  model: Pick<Answering, "base" | "tokenizerFor">,
  adapters: readonly ActiveAdapter[],
): Tokenizer {
  return model.tokenizerFor(adapters) ?? requireTokenizer(model.base);
}

/** The base's end-of-text ids, and that of the tokenizer in use. */
export function stopTokens(
  model: Pick<Answering, "base" | "tokenizerFor">,
  adapters: readonly ActiveAdapter[],
): ReadonlySet<number> {
  const end = model.tokenizerFor(adapters)?.eosTokenId ?? null;
  return end === null ? model.base.stopTokens : new Set([...model.base.stopTokens, end]);
}
