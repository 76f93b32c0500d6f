import { buildDecoder } from "./blocks.ts";
import { expertMlp } from "./experts.ts";
import type { Family } from "./family.ts";
import { llamaShape, withDefaults } from "./llama.ts";
import { oneWindow } from "./mistral.ts";
import { expertShape } from "./moeConfig.ts";

const parts: Readonly<Record<string, string>> = { w1: "gate_proj", w3: "up_proj", w2: "down_proj" };

/** Mistral with a mixture of experts in the place of each MLP. */
export const mixtral: Family = {
  modelType: "mixtral",
  architectures: {
    MixtralForCausalLM: (m) => {
      const defaults = { rms_norm_eps: 1e-5, rope_theta: 1e6, max_position_embeddings: 131072 };
      const config = withDefaults(m.checkpoint.config, defaults);
      const shape = llamaShape(config);
      return buildDecoder(m, {
        ...shape,
        queryBias: false,
        outputBias: false,
        mlp: expertMlp({ ...expertShape(config), isNormalised: true }),
        windows: oneWindow(config, shape.layers),
      });
    },
  },
  tensorName: (name) =>
    name
      .replace(".block_sparse_moe.", ".mlp.")
      .replace(/(\.experts\.\d+)\.(w[123])\./, (_, expert: string, part: string) =>
        [expert, parts[part], ""].join("."),
      ),
};
