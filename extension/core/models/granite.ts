import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { buildDecoder } from "./blocks.ts";
import type { DecoderShape } from "./decoderShape.ts";
import type { Family } from "./family.ts";
import { llamaShape } from "./llama.ts";

const factor = z.number().default(1);

const fields = z.looseObject({
  embedding_multiplier: factor,
  attention_multiplier: factor,
  residual_multiplier: factor,
  logits_scaling: z.number().positive().default(1),
});

/** What Granite multiplies: embeddings, scores, what blocks add, and (dividing) logits. */
export function graniteFactors(config: ModelConfig, shape: DecoderShape): DecoderShape {
  const c = parseFields(fields, config.raw, config.file);
  return {
    ...shape,
    embeddingFactor: c.embedding_multiplier,
    scales: shape.windows.map(() => c.attention_multiplier),
    residualFactor: c.residual_multiplier,
    logitsFactor: 1 / c.logits_scaling,
  };
}

/** Llama with factors. */
export const granite: Family = {
  modelType: "granite",
  architectures: {
    GraniteForCausalLM: (m) => {
      const { config } = m.checkpoint;
      return buildDecoder(m, graniteFactors(config, llamaShape(config)));
    },
  },
};
