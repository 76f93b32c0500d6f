import { buildDecoder } from "./blocks.ts";
import { expertMlp } from "./experts.ts";
import type { Family } from "./family.ts";
import { graniteFactors } from "./granite.ts";
import { llamaShape } from "./llama.ts";
import { expertShape } from "./moeConfig.ts";

/** Granite with a mixture of experts in the place of each MLP, whose scores are softened among the chosen. */
export const graniteMoe: Family = {
  modelType: "granitemoe",
  architectures: {
    GraniteMoeForCausalLM: (m) => {
      const { config } = m.checkpoint;
      const experts = expertMlp({
        ...expertShape(config),
        router: "router",
        // A softmax of the chosen scores is that of all scores, divided by the sum of the chosen.
        isNormalised: true,
      });
      return buildDecoder(m, {
        ...graniteFactors(config, llamaShape(config)),
        mlp: (builder, at) =>
          experts(builder, { ...at, path: at.path.replace(/mlp$/, "block_sparse_moe") }),
      });
    },
  },
  tensorName: (name) =>
    name
      .replace(".block_sparse_moe.input_linear.weight", ".block_sparse_moe.experts.gate_up_proj")
      .replace(".block_sparse_moe.output_linear.weight", ".block_sparse_moe.experts.down_proj")
      .replace(".block_sparse_moe.router.layer.", ".block_sparse_moe.router."),
};
