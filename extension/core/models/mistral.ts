import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { buildDecoder } from "./blocks.ts";
import type { Family } from "./family.ts";
import { llamaShape, mlpShape } from "./llama.ts";
import { gatedMlp } from "./mlp.ts";

const fields = z.looseObject({ sliding_window: z.int().positive().nullish() });

/** `sliding_window` for all layers. */
export function oneWindow({ raw, file }: ModelConfig, layers: number): (number | null)[] {
  const window = parseFields(fields, raw, file).sliding_window ?? null;
  return Array.from({ length: layers }, () => window);
}

/** Llama without biases, with one attention window for all layers. */
export const mistral: Family = {
  modelType: "mistral",
  architectures: {
    MistralForCausalLM: (m) => {
      const { config } = m.checkpoint;
      const shape = llamaShape(config);
      return buildDecoder(m, {
        ...shape,
        queryBias: false,
        outputBias: false,
        mlp: gatedMlp({ ...mlpShape(config), hasBias: false }),
        windows: oneWindow(config, shape.layers),
      });
    },
  },
};
