import { GraftError } from "./base/errors.ts";
import type { Answer, AnswerOptions, Prompt } from "./answer.ts";
import type { PeftModel } from "./peftModel.ts";
import type { ActiveAdapter } from "./loadedAdapters.ts";

export interface PromptRow {
  readonly prompt: Prompt;
  readonly adapters: readonly ActiveAdapter[];
}

export interface AnswerRowsOptions extends Omit<AnswerOptions, "adapters" | "onText" | "live"> {
  /** Tokens of all rows together, with each of them. */
  readonly onTokens?: (tokens: number) => void;
}

/**
 * Answers prompts with adapters of their own, in one pass a token; what cannot stand in one batch
 * with others (a router, a model that takes one row) is answered one after another.
 */
export async function answerRows(
  model: PeftModel,
  rows: readonly PromptRow[],
  { onTokens, ...options }: AnswerRowsOptions,
): Promise<Answer[]> {
  let tokens = 0;
  const onText = (): void => onTokens?.(++tokens);
  const [only, ...others] = rows;
  if (only && others.length > 0) {
    try {
      const prompts = rows.map(({ prompt }) => prompt);
      const adapters = rows.map((row) => row.adapters);
      return await model.answerBatch(prompts, { ...options, rows: adapters, onText });
    } catch (error) {
      if (!(error instanceof GraftError && error.code === "unsupported")) throw error;
    }
  }
  const answers: Answer[] = [];
  for (const { prompt, adapters } of rows) {
    answers.push(await model.answer(prompt, { ...options, adapters, onText }));
  }
  return answers;
}
