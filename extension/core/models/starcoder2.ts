import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { buildDecoder } from "./blocks.ts";
import type { DecoderShape } from "./decoderShape.ts";
import type { Family } from "./family.ts";
import { llamaShape, mlpShape, withDefaults } from "./llama.ts";
import { oneWindow } from "./mistral.ts";
import { plainMlp } from "./mlp.ts";

const fields = z.looseObject({
  norm_epsilon: z.number().positive().default(1e-5),
  use_bias: z.boolean().default(true),
});

/** Llama with LayerNorms, biases everywhere and an MLP without gate. */
function starcoder2Shape(own: ModelConfig): DecoderShape {
  const config = withDefaults(own, {
    hidden_act: "gelu_pytorch_tanh",
    tie_word_embeddings: true,
    max_position_embeddings: 4096,
  });
  const { norm_epsilon: epsilon, use_bias: hasBias } = parseFields(fields, config.raw, config.file);
  const shape = llamaShape(config);
  return {
    ...shape,
    norm: { kind: "layer", epsilon },
    queryBias: hasBias,
    outputBias: hasBias,
    windows: oneWindow(config, shape.layers),
    mlp: plainMlp({ ...mlpShape(config), hasBias }, ["c_fc", "c_proj"]),
  };
}

export const starcoder2: Family = {
  modelType: "starcoder2",
  architectures: {
    Starcoder2ForCausalLM: (m) => buildDecoder(m, starcoder2Shape(m.checkpoint.config)),
  },
};
