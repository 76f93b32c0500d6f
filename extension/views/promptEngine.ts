import type { Graft } from "../context.ts";
import type { PromptEngine } from "../prompts/run.ts";

/** The engine process as prompts ask it. */
export function promptEngine({ engine }: Pick<Graft, "engine">): PromptEngine {
  return {
    answerRows: (params, { signal, onTokens }) =>
      engine.request("answerRows", params, {
        signal,
        onEvent: ({ tokens }) => onTokens?.(tokens),
      }),
    scoreRows: (params, { signal }) => engine.request("scoreRows", params, { signal }),
  };
}
