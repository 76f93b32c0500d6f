import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { activationOf } from "./activations.ts";
import { buildDecoder } from "./blocks.ts";
import type { BlockNorms, DecoderShape } from "./decoderShape.ts";
import type { Family } from "./family.ts";
import { gatedMlp, type MlpShape } from "./mlp.ts";
import { contextLength, rotaryTable } from "./rope.ts";

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
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  hidden_act: z.string().default("silu"),
});

/** Norms before attention and before the MLP, as most relatives of Llama have them. */
export const preNorms: BlockNorms = {
  beforeAttention: "input_layernorm",
  beforeMlp: "post_attention_layernorm",
};

/** A family's values for fields that config.json may leave out. */
export type Defaults = Readonly<Record<string, unknown>>;

/** Whatever the file leaves out, as a family's own defaults say. */
export function withDefaults(config: ModelConfig, defaults: Defaults): ModelConfig {
  return { ...config, raw: { ...defaults, ...config.raw } };
}

/** config.json of the Llama pattern as a decoder shape; relatives change what differs. */
export function llamaShape(config: ModelConfig): DecoderShape {
  const c = parseFields(fields, config.raw, config.file);
  const keyValueHeads = c.num_key_value_heads ?? c.num_attention_heads;
  const headDim = c.head_dim ?? c.hidden_size / c.num_attention_heads;
  if (c.num_attention_heads % keyValueHeads !== 0) {
    throw badFile(
      config.file,
      t(
        'field "num_key_value_heads" {0} does not divide num_attention_heads {1}',
        keyValueHeads,
        c.num_attention_heads,
      ),
    );
  }
  if (!Number.isInteger(headDim / 2)) {
    throw badFile(
      config.file,
      t('field "head_dim" is {0}, rotary embedding needs an even size', headDim),
    );
  }
  const layers = Array.from({ length: c.num_hidden_layers }, () => null);
  const rotary = rotaryTable(config, { headDim });
  return {
    root: "model",
    hiddenSize: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    keyValueHeads,
    headDim,
    vocabulary: c.vocab_size,
    norm: { kind: "rms", epsilon: c.rms_norm_eps },
    blockNorms: preNorms,
    contextLength: contextLength(config),
    tiedEmbeddings: c.tie_word_embeddings,
    rotary: layers.map(() => rotary),
    queryBias: c.attention_bias,
    outputBias: c.attention_bias,
    queryKeyNorm: null,
    windows: layers,
    mlp: gatedMlp(mlpShape(config)),
  };
}

/** Sizes of the MLP that a config of the Llama pattern describes. */
export function mlpShape(config: ModelConfig): MlpShape {
  const c = parseFields(fields, config.raw, config.file);
  return {
    hidden: c.hidden_size,
    inner: c.intermediate_size,
    hasBias: c.mlp_bias,
    activation: activationOf(c.hidden_act, config),
  };
}

const slidingFields = z.looseObject({
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().nonnegative().default(28),
  layer_types: z.array(z.string()).nullish(),
});

/** Attention windows as Qwen's configs state them: by layer type, else from `max_window_layers` up. */
export function slidingWindows(config: ModelConfig, layers: number): (number | null)[] {
  const c = parseFields(slidingFields, config.raw, config.file);
  // Qwen's default of a window that is used, but not named.
  const named = c.sliding_window === undefined ? 4096 : c.sliding_window;
  const window = c.use_sliding_window === true ? named : null;
  return Array.from({ length: layers }, (_, layer) => {
    const slides = c.layer_types
      ? c.layer_types[layer] === "sliding_attention"
      : layer >= c.max_window_layers;
    return slides ? window : null;
  });
}

const typeFields = z.looseObject({
  sliding_window: size.nullable().default(4096),
  layer_types: z.array(z.enum(["sliding_attention", "full_attention"])).nullish(),
});

/** Each layer's kind, as `layer_types` states it; without it every n-th layer sees all (Gemma). */
export function layerTypes(
  { raw, file }: ModelConfig,
  layers: number,
  { every }: { every: number },
): ("sliding_attention" | "full_attention")[] {
  const { layer_types: types } = parseFields(typeFields, raw, file);
  return Array.from({ length: layers }, (_, layer) => {
    if (!types) return (layer + 1) % every === 0 ? "full_attention" : "sliding_attention";
    const type = types[layer];
    if (type) return type;
    throw badFile(
      file,
      t('field "layer_types" has {0} entries for {1} layers', types.length, layers),
    );
  });
}

/** The window of each layer whose kind has one. */
export function layerWindows(
  config: ModelConfig,
  layers: number,
  pattern: { every: number },
): (number | null)[] {
  const { sliding_window: window } = parseFields(typeFields, config.raw, config.file);
  return layerTypes(config, layers, pattern).map((type) =>
    type === "sliding_attention" ? window : null,
  );
}

export const llama: Family = {
  modelType: "llama",
  questionBackbone: "transformer",
  architectures: {
    LlamaForCausalLM: (m) => buildDecoder(m, llamaShape(m.checkpoint.config)),
  },
};
