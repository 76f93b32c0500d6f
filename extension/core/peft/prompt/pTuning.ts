/**
 * P-tuning (https://arxiv.org/abs/2103.10385; PEFT tuners/p_tuning): virtual tokens that an MLP or
 * LSTM made in training. PEFT stores what came out of it, so that the encoder is not needed again.
 */
import { z } from "zod";
import { checkSubmodules, promptFieldInfo, promptFields } from "./config.ts";
import { promptMethod } from "./prompt.ts";
import { promptRows, storedRows } from "./virtualTokens.ts";

const schema = z.looseObject({
  ...promptFields,
  encoder_reparameterization_type: z
    .enum(["MLP", "LSTM"], "It must be MLP or LSTM.")
    .default("MLP"),
});

export const pTuning = promptMethod<z.infer<typeof schema>>({
  peftType: "P_TUNING",
  schema,
  fields: {
    ...promptFieldInfo,
    encoder_reparameterization_type: {
      default: "MLP",
      meaning: "What made the tokens: MLP or LSTM.",
    },
    encoder_hidden_size: { default: null, meaning: "Width of that encoder, in training." },
    encoder_num_layers: { default: 2, meaning: "Depth of that encoder, in training." },
    encoder_dropout: { default: 0, meaning: "Dropout in training; no effect on answers." },
  },
  check: (config, { file }) => checkSubmodules(config, file),
  tensors: promptRows,
  effects: storedRows,
});
