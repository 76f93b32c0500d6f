import { z } from "zod";
import { badFile } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { buildDecoder, type DecoderShape } from "./blocks.ts";
import type { Family } from "./family.ts";
import { inverseFrequencies } from "./rope.ts";

const size = z.int().positive();

const fields = z.looseObject({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  vocab_size: size,
  rms_norm_eps: z.number().positive().default(1e-6),
  max_position_embeddings: size.default(2048),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  hidden_act: z.literal("silu").default("silu"),
});

/** config.json of the Llama pattern as a decoder shape; relatives change what differs. */
export function llamaShape(config: ModelConfig): DecoderShape {
  const c = parseFields(fields, config.raw, config.file);
  const keyValueHeads = c.num_key_value_heads ?? c.num_attention_heads;
  const headDim = c.head_dim ?? c.hidden_size / c.num_attention_heads;
  if (c.num_attention_heads % keyValueHeads !== 0) {
    throw badFile(
      config.file,
      `field "num_key_value_heads" ${keyValueHeads} does not divide num_attention_heads ${c.num_attention_heads}`,
    );
  }
  if (!Number.isInteger(headDim / 2)) {
    throw badFile(
      config.file,
      `field "head_dim" is ${headDim}, rotary embedding needs an even size`,
    );
  }
  return {
    hiddenSize: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    keyValueHeads,
    headDim,
    intermediateSize: c.intermediate_size,
    vocabulary: c.vocab_size,
    normEpsilon: c.rms_norm_eps,
    contextLength: c.max_position_embeddings,
    tiedEmbeddings: c.tie_word_embeddings,
    inverseFrequencies: inverseFrequencies(config, headDim),
    queryBias: c.attention_bias,
    outputBias: c.attention_bias,
    mlpBias: c.mlp_bias,
    queryKeyNorm: false,
    windows: Array.from({ length: c.num_hidden_layers }, () => null),
  };
}

const slidingFields = z.looseObject({
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().nonnegative().nullish(),
  layer_types: z.array(z.string()).nullish(),
});

/** Attention windows as Qwen's configs state them: by layer type, else from `max_window_layers` up. */
export function slidingWindows(config: ModelConfig, layers: number): (number | null)[] {
  const c = parseFields(slidingFields, config.raw, config.file);
  const window = c.use_sliding_window === true ? (c.sliding_window ?? null) : null;
  return Array.from({ length: layers }, (_, layer) => {
    const slides = c.layer_types
      ? c.layer_types[layer] === "sliding_attention"
      : layer >= (c.max_window_layers ?? layers);
    return slides ? window : null;
  });
}

export const llama: Family = {
  modelType: "llama",
  architectures: {
    LlamaForCausalLM: (m) => buildDecoder(m, llamaShape(m.checkpoint.config)),
  },
};
