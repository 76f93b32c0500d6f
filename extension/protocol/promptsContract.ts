/** Test prompts: many answers in one pass, and how likely a model finds a text. Types only. */
import type { ActiveAdapter, ProgressEvent } from "./engineContract.ts";
import type { GenerateParams, Sampling } from "./generationContract.ts";

/** A prompt, and the adapters that answer it; [] is the bare base. */
export interface AnswerRow {
  prompt: GenerateParams["prompt"];
  adapters: ActiveAdapter[];
}

export interface AnswerRowsParams {
  base: string;
  /** One batch: as many as fit into memory at once, of any prompts and adapters. */
  rows: AnswerRow[];
  /** Of every row; each has a random generator of its own with this seed. */
  sampling: Sampling;
}

export interface RowAnswer {
  text: string;
  tokens: number;
  promptTokens: number;
  finish: "stop" | "length" | "context" | "cancelled";
  /** From the start of the batch until this row ended. */
  seconds: number;
  seed: number;
}

/** How likely a model finds a text after a prompt. */
export interface ScoreRow extends AnswerRow {
  completion: string;
}

export interface PerplexityParams {
  base: string;
  text: string;
  /** Sets of adapters to compare; [] is the bare base. */
  columns: ActiveAdapter[][];
  /** In tokens; the context, at most 1,024, and half of it when absent. */
  window?: number;
  stride?: number;
}

export interface PerplexityColumn {
  adapters: ActiveAdapter[];
  /** Mean over the counted tokens of −log p, in nats; perplexity is its exponential. */
  nll: number;
  perplexity: number;
  /** Tokens begin to end were read, the last `counted` of them count with this sum of −log p. */
  windows: { begin: number; end: number; counted: number; nll: number }[];
  /** The tokens that surprised most, worst first, at most 10: the token, what stood before it, −log p. */
  surprises: { token: string; before: string; nll: number }[];
}

export interface PerplexityResult {
  tokens: number;
  counted: number;
  window: number;
  stride: number;
  columns: PerplexityColumn[];
}

export type PromptsContract = {
  /** The event is how many tokens all rows have together. */
  answerRows: {
    params: AnswerRowsParams;
    result: RowAnswer[];
    event: { tokens: number };
  };
  scoreRows: {
    params: { base: string; rows: ScoreRow[] };
    /** Sum of −log p over the completion's tokens, in nats, and how many they are. */
    result: { nll: number; tokens: number }[];
  };
  /** By sliding windows with a stride, as Hugging Face's documentation describes it. */
  perplexity: { params: PerplexityParams; result: PerplexityResult; event: ProgressEvent };
};
