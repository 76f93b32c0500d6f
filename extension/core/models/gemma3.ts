import { isObject, type JsonObject } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { buildDecoder } from "./blocks.ts";
import type { DecoderShape } from "./decoderShape.ts";
import type { Family } from "./family.ts";
import { gemmaDefaults } from "./gemma.ts";
import { gemma2Shape } from "./gemma2.ts";
import { layerTypes, layerWindows, withDefaults } from "./llama.ts";
import { rotaryTable, type RotaryTable } from "./rope.ts";

/** Gemma 2 with norms on query and key instead of capped scores, and a rotary table for each layer type. */
function gemma3Shape(own: ModelConfig): DecoderShape {
  const config = withDefaults(own, {
    ...gemmaDefaults,
    max_position_embeddings: 131_072,
    final_logit_softcapping: null,
  });
  const pattern = Number(config.raw["sliding_window_pattern"] ?? 6);
  // Its tables are per layer type, which only this family's config has.
  const { rope_parameters: _, rope_scaling: __, ...raw } = config.raw;
  const shape = gemma2Shape({ ...config, raw });
  const tables = {
    full_attention: table(config, shape, "full_attention"),
    sliding_attention: table(config, shape, "sliding_attention"),
  };
  const types = layerTypes(config, shape.layers, { every: pattern });
  return {
    ...shape,
    queryKeyNorm: "head",
    softCap: undefined,
    windows: layerWindows(config, shape.layers, { every: pattern }),
    contextLength: Number(config.raw["max_position_embeddings"]),
    rotary: types.map((type) => tables[type]),
  };
}

/** transformers' Gemma3TextConfig.convert_rope_params_to_dict. */
function table(
  config: ModelConfig,
  { headDim }: DecoderShape,
  type: "full_attention" | "sliding_attention",
): RotaryTable {
  const { rope_parameters: all, rope_scaling: scaling, ...raw } = config.raw;
  const isFull = type === "full_attention";
  const stated = isObject(all) && isObject(all[type]) ? all[type] : {};
  const own: JsonObject = { ...stated, ...(isFull && isObject(scaling) && scaling) };
  const outer = isFull ? raw["rope_theta"] : raw["rope_local_base_freq"];
  return rotaryTable(
    { ...config, raw: { ...raw, rope_theta: outer, rope_parameters: own } },
    {
      headDim,
      theta: isFull ? 1_000_000 : 10_000,
      suffix: isFull ? "" : ".sliding",
    },
  );
}

export const gemma3Text: Family = {
  modelType: "gemma3_text",
  architectures: {
    Gemma3ForCausalLM: (m) => buildDecoder(m, gemma3Shape(m.checkpoint.config)),
  },
};

/** A checkpoint that reads pictures too, of which the part that reads text is run. */
export const gemma3: Family = {
  modelType: "gemma3",
  architectures: {
    Gemma3ForConditionalGeneration: (m) => {
      const { config } = m.checkpoint;
      const text = isObject(config.raw["text_config"]) ? config.raw["text_config"] : {};
      const tie = config.raw["tie_word_embeddings"] ?? true;
      const raw = { ...text, tie_word_embeddings: tie };
      return buildDecoder(m, {
        ...gemma3Shape({ ...config, raw }),
        root: "model.language_model",
      });
    },
  },
  tensorName: (name) =>
    name
      .replace(/^language_model\.model\./, "model.language_model.")
      .replace(/^language_model\.lm_head\./, "lm_head.")
      .replace(/^(vision_tower|multi_modal_projector)\./, "model.$1."),
};
