import type { BlockNorms } from "./decoderShape.ts";
import { buildDecoder } from "./blocks.ts";
import type { Family } from "./family.ts";
import { llamaShape, mlpShape, withDefaults } from "./llama.ts";
import { gatedMlp } from "./mlp.ts";

const postNorms: BlockNorms = {
  afterAttention: "post_attention_layernorm",
  afterMlp: "post_feedforward_layernorm",
};

/** Llama with norms behind attention and MLP, and on all queries and keys at once. */
export const olmo2: Family = {
  modelType: "olmo2",
  architectures: {
    Olmo2ForCausalLM: (m) => {
      const config = withDefaults(m.checkpoint.config, { rms_norm_eps: 1e-5 });
      return buildDecoder(m, {
        ...llamaShape(config),
        blockNorms: postNorms,
        queryKeyNorm: "whole",
        mlp: gatedMlp({ ...mlpShape(config), hasBias: false }),
      });
    },
  },
};
