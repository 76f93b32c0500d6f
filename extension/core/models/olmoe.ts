import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import { buildDecoder } from "./blocks.ts";
import { expertMlp } from "./experts.ts";
import type { Family } from "./family.ts";
import { llamaShape, withDefaults } from "./llama.ts";
import { expertShape } from "./moeConfig.ts";

/** Llama with a mixture of experts in each layer, and norms of all queries and all keys at once. */
export const olmoe: Family = {
  modelType: "olmoe",
  architectures: {
    OlmoeForCausalLM: (m) => {
      const defaults = { rms_norm_eps: 1e-5, max_position_embeddings: 4096 };
      const config = withDefaults(m.checkpoint.config, defaults);
      if (typeof config.raw["clip_qkv"] === "number") {
        throw unsupported(t("{0}: Graft does not run olmoe with clip_qkv", config.file));
      }
      return buildDecoder(m, {
        ...llamaShape(config),
        queryKeyNorm: "whole",
        mlp: expertMlp(expertShape(config)),
      });
    },
  },
};
