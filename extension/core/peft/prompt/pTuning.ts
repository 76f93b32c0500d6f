/**
 * P-tuning (https://arxiv.org/abs/2103.10385; PEFT tuners/p_tuning): virtual tokens that an MLP or
 * LSTM made in training. PEFT stores what came out of it, so that the encoder is not needed again.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { promptFieldInfo, promptFields, tokenEmbedding } from "./config.ts";
import { promptMethod } from "./prompt.ts";
import { promptRows, storedRows } from "./virtualTokens.ts";

const schema = z.looseObject({
  ...promptFields,
  encoder_reparameterization_type: z
    .enum(["MLP", "LSTM"], t("It must be MLP or LSTM."))
    .default("MLP"),
  encoder_hidden_size: z.int().positive().nullish(),
  encoder_num_layers: z.int().positive().default(2),
});

export type PTuningConfig = z.infer<typeof schema>;

/** Numbers of the encoder that made the tokens (PEFT p_tuning/model.py): it is not stored. */
function encoderSize(config: PTuningConfig, dim: number): number {
  const { encoder_hidden_size: hidden, encoder_num_layers: layers } = config;
  if (!hidden) return 0;
  const linear = (inputs: number, outputs: number): number => (inputs + 1) * outputs;
  if (config.encoder_reparameterization_type === "MLP") {
    return linear(dim, hidden) + linear(hidden, hidden) + linear(hidden, dim);
  }
  // Both directions of a layer: four gates, each with a bias for its input and one for its state.
  const lstm = (inputs: number): number => 2 * 4 * hidden * (inputs + hidden + 2);
  const head = linear(2 * hidden, 2 * hidden) + linear(2 * hidden, dim);
  return lstm(dim) + (layers - 1) * lstm(2 * hidden) + head;
}

export const pTuning = promptMethod<PTuningConfig>({
  peftType: "P_TUNING",
  schema,
  fields: {
    ...promptFieldInfo,
    encoder_reparameterization_type: {
      default: "MLP",
      meaning: t("What made the tokens: MLP or LSTM."),
    },
    encoder_hidden_size: { default: null, meaning: t("Width of that encoder, in training.") },
    encoder_num_layers: { default: 2, meaning: t("Depth of that encoder, in training.") },
    encoder_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
  },
  tensors: promptRows,
  effects: storedRows,
  counts: ({ config, base }, stored) => ({
    trained: stored + encoderSize(config, tokenEmbedding(base).out),
  }),
});
