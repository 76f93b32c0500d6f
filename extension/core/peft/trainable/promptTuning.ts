/**
 * Prompt tuning (PEFT tuners/prompt_tuning/model.py): trained rows stand where the embedding's rows of as
 * many placeholders would. They begin drawn, or as the rows of tokens that are drawn.
 */
import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../../base/errors.ts";
import { type PromptConfig, tokenEmbedding } from "../prompt/config.ts";
import { promptTuning as method } from "../prompt/promptTuning.ts";
import { storedPrompt } from "../prompt/virtualTokens.ts";
import { normal } from "./draws.ts";
import { promptForm } from "./promptForm.ts";

export const promptTuning = promptForm<PromptConfig>({
  method,
  predictsFirst: true,
  check: ({ config, file }) => {
    if (config["prompt_tuning_init"] !== "TEXT") return;
    throw unsupported(
      t("{0}: Graft does not begin a prompt with a text yet", file),
      t('Set "prompt_tuning_init" to RANDOM or SAMPLE_VOCAB.'),
    );
  },
  tensor: ({ config, base }) => ({
    name: storedPrompt,
    torchName: "prompt_encoder.embedding.weight",
    shape: [config.num_virtual_tokens, tokenEmbedding(base).out],
  }),
  initialize: async ({ config, base }, random) => {
    const { path, in: rows, out: hidden } = tokenEmbedding(base);
    const { num_virtual_tokens: count } = config;
    const drawn = normal(random, [count, hidden]);
    if (config["prompt_tuning_init"] !== "SAMPLE_VOCAB") return drawn;
    const table = await base.readTensor(`${path}.weight`);
    if (!table)
      throw misfit(t('The base has no tensor "{0}", which the adapter needs.', `${path}.weight`));
    for (let token = 0; token < count; token++) {
      const id = random.bits() % rows;
      drawn.set(table.subarray(id * hidden, (id + 1) * hidden), token * hidden);
    }
    return drawn;
  },
  hook: ({ config, base }, own) => ({
    embedding: (g, path, { rows }) => {
      const { path: tokens, out: hidden } = tokenEmbedding(base);
      if (path !== tokens) return rows;
      const { num_virtual_tokens: count } = config;
      const prompt = g.repeatRows(g.unsqueeze(own(g), 0), rows, [count, hidden]);
      const end = g.int64s([2 ** 31]);
      const [others] = g.node("Slice", [rows, g.int64s([count]), end, g.int64s([1])]);
      return g.concat([prompt, others], 1);
    },
  }),
});
