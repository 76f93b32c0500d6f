import { buildDecoder } from "./blocks.ts";
import type { Family } from "./family.ts";
import { llamaShape, slidingWindows } from "./llama.ts";

/** Llama with a norm on each head's query and key, and a head size of its own (128 by default). */
export const qwen3: Family = {
  modelType: "qwen3",
  architectures: {
    Qwen3ForCausalLM: (m) => {
      const { config } = m.checkpoint;
      const raw = { head_dim: 128, ...config.raw };
      const shape = llamaShape({ ...config, raw });
      return buildDecoder(m, {
        ...shape,
        mlpBias: false,
        queryKeyNorm: true,
        windows: slidingWindows(config, shape.layers),
      });
    },
  },
};
