import { buildDecoder } from "./blocks.ts";
import type { Family } from "./family.ts";
import { llamaShape, mlpShape, slidingWindows, withDefaults } from "./llama.ts";
import { gatedMlp } from "./mlp.ts";

/** Llama with a norm on each head's query and key, and a head size of its own (128 by default). */
export const qwen3: Family = {
  modelType: "qwen3",
  questionBackbone: "transformer",
  architectures: {
    Qwen3ForCausalLM: (m) => {
      const config = withDefaults(m.checkpoint.config, { head_dim: 128 });
      const shape = llamaShape(config);
      return buildDecoder(m, {
        ...shape,
        mlp: gatedMlp({ ...mlpShape(config), hasBias: false }),
        queryKeyNorm: "head",
        windows: slidingWindows(config, shape.layers),
      });
    },
  },
};
