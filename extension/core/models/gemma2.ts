import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { activationOf } from "./activations.ts";
import { buildDecoder } from "./blocks.ts";
import type { BlockNorms, DecoderShape } from "./decoderShape.ts";
import type { Family } from "./family.ts";
import { gemmaDefaults, gemmaShape } from "./gemma.ts";
import { layerWindows, mlpShape, withDefaults } from "./llama.ts";
import { gatedMlp } from "./mlp.ts";

const positive = z.number().positive();

const fields = z.looseObject({
  hidden_activation: z.string().default("gelu_pytorch_tanh"),
  query_pre_attn_scalar: positive.default(256),
  attn_logit_softcapping: positive.nullable().default(50),
  final_logit_softcapping: positive.nullable().default(30),
});

/** Norms on both sides of attention and MLP. */
const sandwichNorms: BlockNorms = {
  beforeAttention: "input_layernorm",
  afterAttention: "post_attention_layernorm",
  beforeMlp: "pre_feedforward_layernorm",
  afterMlp: "post_feedforward_layernorm",
};

/** Gemma with more norms, capped scores and logits, and windows in every other layer. */
export function gemma2Shape(config: ModelConfig): DecoderShape {
  const c = parseFields(fields, config.raw, config.file);
  const shape = gemmaShape(config);
  const activation = activationOf(c.hidden_activation, config);
  return {
    ...shape,
    blockNorms: sandwichNorms,
    scales: shape.windows.map(() => c.query_pre_attn_scalar ** -0.5),
    softCap: c.attn_logit_softcapping ?? undefined,
    logitsCap: c.final_logit_softcapping ?? undefined,
    windows: layerWindows(config, shape.layers, { every: 2 }),
    mlp: gatedMlp({ ...mlpShape(config), hasBias: false, activation }),
  };
}

export const gemma2: Family = {
  modelType: "gemma2",
  architectures: {
    Gemma2ForCausalLM: (m) =>
      buildDecoder(m, gemma2Shape(withDefaults(m.checkpoint.config, gemmaDefaults))),
  },
};
