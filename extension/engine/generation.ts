import { t } from "@vscode/l10n";
import type { Handlers } from "../protocol/connection.ts";
import type { GenerationContract } from "../protocol/generationContract.ts";
import { notFound } from "../core/base/errors.ts";
import { freshSeed } from "../core/base/random.ts";
import type { Answer } from "../core/answer.ts";
import type { ActiveAdapter } from "../protocol/engineContract.ts";
import type { ColumnResult, ColumnSnapshot } from "../protocol/generationContract.ts";
import type { Library } from "./library.ts";

/** Answers side by side, and prompts as a model reads them. */
export function generationHandlers(library: Library): Handlers<GenerationContract> {
  return {
    generateColumns: async ({ base, prompt, columns, sampling }, { emit, signal }) => {
      const started = performance.now();
      const seed = sampling.seed ?? freshSeed();
      const snapshots = columns.map(({ id }): ColumnSnapshot => ({
        id,
        text: "",
        tokens: 0,
        tokensPerSecond: 0,
        finish: null,
      }));
      const prompts = columns.map((column) => {
        const own = column.prompt ?? prompt;
        if (!own) throw notFound(t("A prompt"), t("column {0}", column.id));
        return own;
      });
      const answers = await library.require(base).answerBatch(prompts, {
        sampling: { ...sampling, seed },
        maxNewTokens: sampling.maxNewTokens,
        rows: columns.map(({ adapters }) => adapters),
        onText: (row, text, tokens) => {
          const seconds = (performance.now() - started) / 1000;
          const own = snapshots[row] as ColumnSnapshot;
          snapshots[row] = { ...own, text, tokens, tokensPerSecond: tokens / seconds };
          emit({ columns: [...snapshots], oneByOne: "" });
        },
        signal,
      });
      return {
        columns: answers.map((answer, i) => columnResult(columns[i]?.id ?? "", answer)),
        seed,
        seconds: (performance.now() - started) / 1000,
        oneByOne: "",
      };
    },
    setColumnAdapters: () => ({ from: null }),
    renderPrompt: ({ base, prompt, adapters }) => {
      const model = library.require(base);
      const { text, ids, pieces } = model.renderPrompt(prompt, adapters);
      return {
        text,
        tokens: ids.map((id, i) => ({ id, text: pieces[i] ?? "" })),
        count: ids.length,
        contextLength: model.base.session.model.contextLength,
        toolFormat: null,
      };
    },
    countTokens: ({ base, prompt, adapters }) => ({
      count: library.require(base).encode(prompt, adapters).length,
    }),
  };
}

function columnResult(id: string, answer: Answer): ColumnResult {
  const { text, ids, tokensPerSecond, promptTokens, finish, seed, adapters } = answer;
  return {
    ...{ id, text, tokens: ids.length, tokensPerSecond, promptTokens, finish, seed },
    seconds: answer.prefillSeconds + answer.decodeSeconds,
    adapters: adapters as ActiveAdapter[],
    changes: [],
  };
}
