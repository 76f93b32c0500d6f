/**
 * Prompt tuning (PEFT tuners/prompt_tuning/model.py): trained rows stand where the embedding's rows of as
 * many placeholders would. They begin drawn, or as the rows of tokens that are drawn or a text's.
 */
import { type PromptConfig, tokenEmbedding } from "../prompt/config.ts";
import { promptTuning as method } from "../prompt/promptTuning.ts";
import { storedPrompt } from "../prompt/virtualTokens.ts";
import { normal } from "./draws.ts";
import { type PromptContext, promptForm } from "./promptForm.ts";
import { beforeTokens, rowCount, rowFields, tableRows, textIds } from "./promptRows.ts";
import type { InitializeOptions } from "./trainable.ts";

/** What rows begin with. */
export async function beginningRows(
  context: PromptContext<PromptConfig>,
  options: InitializeOptions,
): Promise<Float32Array> {
  const { config, base } = context;
  const { in: rows, out: hidden } = tokenEmbedding(base);
  const { prompt_tuning_init: init } = config;
  const count = rowCount(context);
  const drawn = normal(options.random, [count, hidden]);
  if (init === "TEXT") return tableRows(context, await textIds(context, options));
  if (init !== "SAMPLE_VOCAB") return drawn;
  const ids = Array.from({ length: count }, () => options.random.bits() % rows);
  return tableRows(context, ids);
}

export const promptTuning = promptForm<PromptConfig>({
  method,
  predictsFirst: true,
  fields: rowFields,
  tensors: (context) => [
    {
      name: "embedding.weight",
      stored: storedPrompt,
      shape: [rowCount(context), tokenEmbedding(context.base).out],
      isTrained: true,
    },
  ],
  initialize: async (context, options) =>
    new Map([[storedPrompt, await beginningRows(context, options)]]),
  hook: beforeTokens,
});
