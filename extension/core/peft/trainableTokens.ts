/**
 * Trainable tokens (PEFT tuners/trainable_tokens): some rows of an embedding table were trained and
 * replace the base's. An embedding adds the difference to a token's row; a head that is tied to the
 * table, or targeted itself, gets the same rows as a low-rank update, one rank a token.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import type { Shape } from "../base/shape.ts";
import type { LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tiedHeads, tokenEffects } from "./tokenRows.ts";
import { tunerFields } from "./tuner/config.ts";
import { tunerMethod } from "./tuner/tuner.ts";

const suffix = "trainable_tokens_delta";

const schema = z.looseObject({
  ...tunerFields,
  token_indices: z.array(z.int(), t("It must be a list of token ids.")).default([]),
});

type TrainableTokensConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  token_indices: { default: [], meaning: t("Ids of the tokens whose rows were trained.") },
  init_weights: { default: true, meaning: t("Training starts with the base's rows.") },
};

/** The input embeddings of families that do not call them embed_tokens (transformers 5). */
const inputEmbeddings: Readonly<Record<string, string>> = {
  bert: "word_embeddings",
  bloom: "word_embeddings",
  falcon: "word_embeddings",
  gpt2: "wte",
  gpt_bigcode: "wte",
  gpt_neo: "wte",
  gpt_neox: "embed_in",
  gptj: "wte",
  mt5: "shared",
  roberta: "word_embeddings",
  t5: "shared",
};

export const trainableTokens = tunerMethod<TrainableTokensConfig>({
  peftType: "TRAINABLE_TOKENS",
  schema,
  fields,
  defaultTargets: (modelType) => [inputEmbeddings[modelType] ?? "embed_tokens"],
  suffixes: [suffix],
  kinds: ["embedding", "linear"],
  rank: () => null,
  shapes: (module, { token_indices: ids }): Record<string, Shape> => ({
    [suffix]: [ids.length, module.kind === "linear" ? module.in : module.out],
  }),
  linear: async (module, tensors, context) => {
    const rows = tensors.values(suffix);
    const ids = context.config.token_indices;
    const { head } = await tokenEffects(context, module, { ids, rows });
    // PEFT computes a targeted head without its bias.
    const bias = await context.bias(module);
    return { ...head(module), ...(bias && { shift: bias.map((value) => -value) }) };
  },
  embedding: async (module, tensors, context) => {
    if (module.kind !== "embedding") return { rowDelta: () => null };
    const rows = tensors.values(suffix);
    const ids = context.config.token_indices;
    return (await tokenEffects(context, module, { ids, rows })).embedding;
  },
  // PEFT stores the rows once more under a tied head.
  extraModules: (_config, base) =>
    base.tree.modules.flatMap((module) => tiedHeads(module, base).map(({ path }) => path)),
  extra: async (context) => {
    const targets = new Set(context.targets.map(({ path }) => path));
    const linear = new Map<string, LinearEffect>();
    for (const module of context.targets) {
      if (module.kind !== "embedding") continue;
      const heads = tiedHeads(module, context.base).filter(({ path }) => !targets.has(path));
      if (heads.length === 0) continue;
      const ids = context.config.token_indices;
      const rows = context.adapterTensors(module.path).values(suffix);
      const { head } = await tokenEffects(context, module, { ids, rows });
      for (const tied of heads) linear.set(tied.path, head(tied));
    }
    return { linear };
  },
});
