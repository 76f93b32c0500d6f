import { z } from "zod";
import { parseFields } from "../base/json.ts";
import { buildDecoder } from "./blocks.ts";
import type { Family } from "./family.ts";
import { llamaShape } from "./llama.ts";

const fields = z.looseObject({ sliding_window: z.int().positive().nullish() });

/** Llama without biases, with one attention window for all layers. */
export const mistral: Family = {
  modelType: "mistral",
  architectures: {
    MistralForCausalLM: (m) => {
      const { config } = m.checkpoint;
      const shape = llamaShape(config);
      const window = parseFields(fields, config.raw, config.file).sliding_window ?? null;
      return buildDecoder(m, {
        ...shape,
        queryBias: false,
        outputBias: false,
        mlpBias: false,
        windows: shape.windows.map(() => window),
      });
    },
  },
};
