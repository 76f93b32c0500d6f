/** Asking models that do not write text: part of the engine's contract. Types only. */
import type { ActiveAdapter } from "./engineContract.ts";

/** What a model is for. */
export type ModelTask =
  | "language-modeling"
  | "masked-language-modeling"
  | "sequence-classification"
  | "token-classification"
  | "question-answering"
  | "feature-extraction"
  | "image-classification";

/** A text, two that belong together (a question and where to look), or an image's file. */
export type PredictInput = string | { text: string; pair: string } | { image: string };

export interface PredictParams {
  base: string;
  inputs: PredictInput[];
  /** Adapters for this prediction alone; the active ones when absent; [] is the bare base. */
  adapters?: ActiveAdapter[];
}

/** A label and how likely it is, 0 to 1; of a regression its value. */
export interface Score {
  label: string;
  score: number;
}

/** What a model says of one input, by its task. */
export type Prediction =
  /** Most likely first. Scores add up to 1 ("classes"), stand for themselves, or are values. */
  | {
      task: "sequence-classification" | "image-classification";
      scores: Score[];
      of: "classes" | "labels" | "values";
    }
  /** One for each token that is not a special one. */
  | { task: "token-classification"; tokens: (Score & { token: string })[] }
  /** The likeliest span of the second text; empty where there is none. */
  | { task: "question-answering"; answer: string; score: number }
  /** Mean of the last stream over all tokens, and the first token's. */
  | { task: "feature-extraction"; mean: number[]; first: number[] };

export type PredictContract = {
  predict: { params: PredictParams; result: Prediction[] };
};
