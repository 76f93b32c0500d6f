import { buildDecoder } from "./blocks.ts";
import type { Family } from "./family.ts";
import { llamaShape, mlpShape, slidingWindows } from "./llama.ts";
import { gatedMlp } from "./mlp.ts";

/** Llama with biases on query, key and value alone. */
export const qwen2: Family = {
  modelType: "qwen2",
  questionBackbone: "transformer",
  architectures: {
    Qwen2ForCausalLM: (m) => {
      const { config } = m.checkpoint;
      const shape = llamaShape(config);
      return buildDecoder(m, {
        ...shape,
        queryBias: true,
        outputBias: false,
        mlp: gatedMlp({ ...mlpShape(config), hasBias: false }),
        windows: slidingWindows(config, shape.layers),
      });
    },
  },
};
