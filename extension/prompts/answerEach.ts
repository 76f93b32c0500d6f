import { asGraftError } from "../core/base/errors.ts";
import type { AnswerRowsParams, RowAnswer } from "../protocol/promptsContract.ts";
import type { PromptEngine } from "./run.ts";

/** An answer, or why this row has none. */
export type RowOutcome = RowAnswer | { error: string };

export function isAnswer(outcome: RowOutcome | undefined): outcome is RowAnswer {
  return outcome !== undefined && "text" in outcome;
}

/**
 * Answers a batch. A row that cannot be answered (a prompt longer than the context) is no reason to
 * have none of the others: then each is asked by itself.
 */
export async function answerEach(
  engine: PromptEngine,
  params: AnswerRowsParams,
  options: { signal: AbortSignal; onTokens?: (tokens: number) => void },
): Promise<RowOutcome[]> {
  try {
    return await engine.answerRows(params, options);
  } catch (thrown) {
    const { code, message } = asGraftError(thrown);
    if (code !== "bad-request" || options.signal.aborted) throw thrown;
    if (params.rows.length === 1) return [{ error: message }];
  }
  const outcomes: RowOutcome[] = [];
  for (const row of params.rows) {
    outcomes.push(...(await answerEach(engine, { ...params, rows: [row] }, options)));
  }
  return outcomes;
}
