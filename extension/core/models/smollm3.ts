import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { buildDecoder } from "./blocks.ts";
import type { DecoderShape } from "./decoderShape.ts";
import type { Family } from "./family.ts";
import { llamaShape, withDefaults } from "./llama.ts";
import { rotaryTable } from "./rope.ts";

const fields = z.looseObject({
  no_rope_layers: z.array(z.number()).nullish(),
  no_rope_layer_interval: z.int().positive().default(4),
  layer_types: z.array(z.string()).nullish(),
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.int().positive().nullish(),
});

/** Llama of which every fourth layer turns nothing; those alone may have a window. */
function smollm3Shape(own: ModelConfig): DecoderShape {
  const config = withDefaults(own, {
    tie_word_embeddings: true,
    num_key_value_heads: 4,
    max_position_embeddings: 32_768,
  });
  const c = parseFields(fields, config.raw, config.file);
  const shape = llamaShape(config);
  const table = rotaryTable(config, { headDim: shape.headDim, theta: 2_000_000 });
  const turns = (layer: number): boolean =>
    c.no_rope_layers ? c.no_rope_layers[layer] !== 0 : (layer + 1) % c.no_rope_layer_interval !== 0;
  const slides = (layer: number): boolean =>
    c.layer_types
      ? c.layer_types[layer] === "sliding_attention"
      : c.use_sliding_window && !turns(layer);
  return {
    ...shape,
    rotary: shape.rotary.map((_, layer) => (turns(layer) ? table : null)),
    windows: shape.windows.map((_, layer) => (slides(layer) ? (c.sliding_window ?? null) : null)),
  };
}

export const smollm3: Family = {
  modelType: "smollm3",
  questionBackbone: "transformer",
  architectures: {
    SmolLM3ForCausalLM: (m) => buildDecoder(m, smollm3Shape(m.checkpoint.config)),
  },
};
