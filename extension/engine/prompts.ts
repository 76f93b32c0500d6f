import { answerRows } from "../core/answerRows.ts";
import { promptTokenizer } from "../core/answer.ts";
import { type ColumnPerplexity, measurePerplexity, scoreCompletions } from "../core/perplexity.ts";
import type { PeftModel } from "../core/peftModel.ts";
import type { Handlers } from "../protocol/connection.ts";
import type { PerplexityColumn, PromptsContract } from "../protocol/promptsContract.ts";
import type { Library } from "./library.ts";

/** What the engine answers about test prompts. */
export function promptsHandlers(library: Library): Handlers<PromptsContract> {
  return {
    answerRows: async ({ base, rows, sampling }, { emit, signal }) => {
      const { maxNewTokens } = sampling;
      const onTokens = (tokens: number): void => emit({ tokens });
      const model = library.require(base);
      const reading = await library.readingOf(model, signal);
      const options = { ...reading, sampling, maxNewTokens, onTokens, signal };
      const answers = await answerRows(model, rows, options);
      return answers.map(({ text, ids, promptTokens, finish, seed, ...times }) => ({
        text,
        tokens: ids.length,
        promptTokens,
        finish,
        seconds: times.prefillSeconds + times.decodeSeconds,
        seed,
      }));
    },
    scoreRows: ({ base, rows }, { signal }) =>
      scoreCompletions(library.require(base), rows, signal),
    perplexity: async ({ base, text, ...options }, { emit, signal }) => {
      const model = library.require(base);
      const report = await measurePerplexity(model, text, { ...options, onProgress: emit, signal });
      const columns = report.columns.map((column) => columnResult(model, column, text));
      return { ...report, columns };
    },
  };
}

/** What stood before a token is shown by so many tokens. */
const contextTokens = 8;

function columnResult(
  model: PeftModel,
  { adapters, nll, perplexity, windows, perToken }: ColumnPerplexity,
  text: string,
): PerplexityColumn {
  const tokenizer = promptTokenizer(model, adapters);
  const ids = tokenizer.encode(text);
  const places = windows.flatMap(({ end, counted }) =>
    Array.from({ length: counted }, (_, i) => end - counted + i),
  );
  const surprises = [...perToken]
    .map((value, at) => ({ value, place: places[at] as number }))
    .sort((a, b) => b.value - a.value)
    .slice(0, 10)
    .map(({ value, place }) => ({
      token: tokenizer.decode([ids[place] as number], { skipSpecialTokens: false }),
      before: tokenizer.decode(ids.slice(Math.max(0, place - contextTokens), place)),
      nll: value,
    }));
  const plain = windows.map((window) => ({ ...window }));
  return { adapters: plainAdapters(adapters), nll, perplexity, windows: plain, surprises };
}

function plainAdapters(adapters: ColumnPerplexity["adapters"]): PerplexityColumn["adapters"] {
  return adapters.map(({ name, weight, task }) => ({
    name,
    weight,
    ...(typeof task === "number" && { task }),
  }));
}
