/** Answers, one or side by side, under constraints, and prompts as a model reads them: part of the engine's contract. Types only. */
import type { ActiveAdapter, Precision } from "./engineContract.ts";

/** A function that a model may ask for. */
export interface ToolDefinition {
  name: string;
  description?: string;
  /** JSON schema of its arguments, an object. */
  parameters?: Record<string, unknown>;
}

/** A model's wish to have a function called. */
export interface ToolCall {
  /** Unique in its answer; the model's own where its format has one. */
  id: string;
  name: string;
  arguments: Record<string, unknown>;
}

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/** A turn; those of tools need a chat template that has them. */
export type ConversationTurn =
  | ChatMessage
  | { role: "assistant"; content: string; toolCalls: ToolCall[] }
  | { role: "tool"; content: string; toolCallId?: string; name?: string };

export type Prompt =
  | {
      kind: "chat";
      messages: ConversationTurn[];
      tools?: ToolDefinition[];
      /** Without a chat template the messages are read as one text, instead of being refused. */
      orText?: boolean;
    }
  | { kind: "text"; text: string };

/** What an answer must look like. */
export interface Constraints {
  /** Texts that end the answer and are no part of it, wherever tokens begin and end. */
  stop?: string[];
  /**
   * The answer is one JSON value: any (true), or one that this schema allows. Keywords that cannot be
   * kept to are refused by name ("unsupported").
   */
  jsonSchema?: true | Record<string, unknown>;
}

export interface Sampling extends Constraints {
  maxNewTokens: number;
  /** 0 is greedy. */
  temperature: number;
  /** 1 is off. */
  topP: number;
  /** 0 is off. */
  topK: number;
  /** 1 is off. */
  repetitionPenalty: number;
  /** null takes a fresh seed and reports it. */
  seed: number | null;
}

export interface GenerateParams {
  base: string;
  prompt: Prompt;
  /** Adapters for this answer alone; the active ones when absent; [] is the bare base. */
  adapters?: ActiveAdapter[];
  sampling: Sampling;
}

/** A whole snapshot of the answer so far, so that a reader may skip some. */
export interface GenerateEvent {
  text: string;
  tokens: number;
  tokensPerSecond: number;
}

export interface GenerateResult extends GenerateEvent {
  promptTokens: number;
  /** "stop": end-of-text token, a stop text, or the end of the JSON value; "length": maxNewTokens; "context": the model's context is full. */
  finish: "stop" | "length" | "context" | "cancelled";
  seconds: number;
  seed: number;
  adapters: ActiveAdapter[];
  /** The stop text that ended it. */
  stoppedBy?: string;
  /** Work that was not done anew; absent where all was. */
  saved?: SavedWork;
  /** With `tools` that the chat template knows: the calls that it asks for, which are no part of `text`. */
  toolCalls?: ToolCall[];
}

export interface SavedWork {
  /** Tokens of the prompt that an answer before had read. */
  reusedTokens: number;
  /** Tokens that were read ahead, and those of them that the answer took. */
  drafted: number;
  accepted: number;
}

export interface ColumnRequest {
  /** The caller's own name for it, unique in the run. */
  id: string;
  /** [] is the bare base. */
  adapters: ActiveAdapter[];
  /** Its own conversation; the run's prompt when absent. */
  prompt?: Prompt;
}

export interface GenerateColumnsParams {
  /** The caller's own name for the run, for `setColumnAdapters`; unique among those under way. */
  run: string;
  base: string;
  /** For columns without one of their own. */
  prompt?: Prompt;
  columns: ColumnRequest[];
  /** For all columns: with one seed each draws as it would alone. */
  sampling: Sampling;
  /** Report every token with its probability and so many of the likeliest (0 to 20). */
  topAlternatives?: number;
}

/** Probabilities are the model's own: of its logits, before penalty, temperature, top-k, top-p and JSON. */
export interface TokenAlternative {
  id: number;
  /** The token alone; bytes that are no whole character as "\xE2". */
  text: string;
  probability: number;
}

export interface TokenDetail extends TokenAlternative {
  /** What it added to the answer's text: "" inside a character of several tokens. Joined they are the text. */
  piece: string;
  /** The likeliest tokens in its place, the likeliest first; the one that was taken may be among them. */
  alternatives: TokenAlternative[];
}

/** One column so far, a whole snapshot, so that a reader may skip some. */
export interface ColumnSnapshot {
  id: string;
  text: string;
  tokens: number;
  tokensPerSecond: number;
  /** Null while it goes on, or waits for its turn. */
  finish: GenerateResult["finish"] | null;
  /**
   * With `topAlternatives`: tokens that are new since the last event, and where in the answer the first
   * of them stands. Whoever skips events reads them all in the result.
   */
  newTokens?: { from: number; tokens: TokenDetail[] };
}

export interface GenerateColumnsEvent {
  columns: ColumnSnapshot[];
  /** Why the columns run one after another; "" where all are one batch. */
  oneByOne: string;
}

export interface ColumnResult extends GenerateResult {
  id: string;
  /** With `topAlternatives`: every token. */
  details?: TokenDetail[];
  /** Adapters that took part from a token on, where `setColumnAdapters` changed them. */
  changes: { from: number; adapters: ActiveAdapter[] }[];
}

export interface GenerateColumnsResult {
  columns: ColumnResult[];
  /** The seed that all of them have. */
  seed: number;
  seconds: number;
  oneByOne: string;
}

export interface SetColumnAdaptersParams {
  run: string;
  column: string;
  /** Loaded adapters and their weights; [] is the bare base. */
  adapters: ActiveAdapter[];
}

export interface PromptParams {
  base: string;
  prompt: Prompt;
  /** For whom: an adapter may bring a tokenizer of its own; the active ones when absent. */
  adapters?: ActiveAdapter[];
}

/** What a model is given to read. */
export interface RenderedPrompt {
  /** What the chat template made; a plain text as it is. */
  text: string;
  /** `text` is what the token stands for, special tokens by their names. */
  tokens: { id: number; text: string }[];
  count: number;
  contextLength: number;
  /** The format in which tools are called, as the chat template shows it; null without. */
  toolFormat: ToolFormat | null;
}

/** How a family of models calls tools. */
export type ToolFormat = "hermes" | "llama" | "mistral";

/** How answers' tokens are read ahead; texts stay what they are without. */
export interface ReadingParams {
  /** "auto" does so where it was measured to save time. */
  speculation: "auto" | "off";
  /** Folder of a smaller base with the same tokens that proposes some; loaded with the first answer. */
  draftModel: string | null;
  draftPrecision: Precision;
}

export type GenerationContract = {
  generate: { params: GenerateParams; result: GenerateResult; event: GenerateEvent };
  /** For all answers that begin from now on, of whatever call. A draft model that does not fit fails these. */
  setReading: { params: ReadingParams; result: null };
  /** Several answers at once: one batch, adapters of its own for every row, where these allow it. */
  generateColumns: {
    params: GenerateColumnsParams;
    result: GenerateColumnsResult;
    event: GenerateColumnsEvent;
  };
  /**
   * Other adapters or weights for a column under way, from its next token on. What it has read and
   * said stays as it was read: keys and values in the cache are not made anew.
   * @returns how many tokens it had said by then; null when the column has ended already
   */
  setColumnAdapters: { params: SetColumnAdaptersParams; result: { from: number | null } };
  renderPrompt: { params: PromptParams; result: RenderedPrompt };
  /** Tokens of a prompt, with those that the chat template puts around it. */
  countTokens: { params: PromptParams; result: { count: number } };
};
