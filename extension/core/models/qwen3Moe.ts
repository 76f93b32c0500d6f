import { z } from "zod";
import { parseFields } from "../base/json.ts";
import { buildDecoder } from "./blocks.ts";
import { expertMlp } from "./experts.ts";
import type { Family } from "./family.ts";
import { llamaShape, mlpShape } from "./llama.ts";
import { gatedMlp } from "./mlp.ts";
import { expertShape, hasExperts } from "./moeConfig.ts";

const fields = z.looseObject({
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.int().positive().nullish(),
});

/** Qwen 3 with experts in some layers; one attention window for all layers. */
export const qwen3Moe: Family = {
  modelType: "qwen3_moe",
  architectures: {
    Qwen3MoeForCausalLM: (m) => {
      const { config } = m.checkpoint;
      const shape = llamaShape(config);
      const c = parseFields(fields, config.raw, config.file);
      const named = c.sliding_window === undefined ? 4096 : c.sliding_window;
      const window = c.use_sliding_window ? named : null;
      const experts = hasExperts(config);
      const dense = gatedMlp({ ...mlpShape(config), hasBias: false });
      const sparse = expertMlp({ ...expertShape(config), expertsFirst: true });
      return buildDecoder(m, {
        ...shape,
        queryKeyNorm: "head",
        mlp: (builder, at) => (experts(at.layer) ? sparse : dense)(builder, at),
        windows: shape.windows.map(() => window),
      });
    },
  },
};
