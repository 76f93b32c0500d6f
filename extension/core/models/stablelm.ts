import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { buildDecoder } from "./blocks.ts";
import type { BlockNorms, DecoderShape } from "./decoderShape.ts";
import type { Family } from "./family.ts";
import { llamaShape, mlpShape, preNorms, withDefaults } from "./llama.ts";
import { gatedMlp } from "./mlp.ts";
import { rotaryTable } from "./rope.ts";

const fields = z.looseObject({
  layer_norm_eps: z.number().positive().default(1e-5),
  use_qkv_bias: z.boolean().default(false),
  qk_layernorm: z.boolean().default(false),
  use_parallel_residual: z.boolean().default(false),
});

const oneNorm: BlockNorms = { beforeAttention: "input_layernorm" };

/** Llama with LayerNorms, which turns a part of each head; attention and MLP side by side where it says so. */
function stablelmShape(own: ModelConfig): DecoderShape {
  const config = withDefaults(own, {
    partial_rotary_factor: 0.25,
    max_position_embeddings: 4096,
  });
  const c = parseFields(fields, config.raw, config.file);
  const { rope_parameters: _, rope_scaling: __, ...raw } = config.raw;
  const shape = llamaShape({ ...config, raw });
  const rotary = rotaryTable(config, { headDim: shape.headDim, isPartial: true });
  return {
    ...shape,
    norm: { kind: "layer", epsilon: c.layer_norm_eps },
    blockNorms: c.use_parallel_residual ? oneNorm : preNorms,
    isParallel: c.use_parallel_residual,
    queryBias: c.use_qkv_bias,
    outputBias: false,
    queryKeyNorm: c.qk_layernorm ? "each" : null,
    rotary: shape.rotary.map(() => rotary),
    mlp: gatedMlp({ ...mlpShape(config), hasBias: false }),
  };
}

export const stablelm: Family = {
  modelType: "stablelm",
  architectures: {
    StableLmForCausalLM: (m) => buildDecoder(m, stablelmShape(m.checkpoint.config)),
  },
};
