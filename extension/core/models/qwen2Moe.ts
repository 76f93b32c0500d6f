import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { buildDecoder } from "./blocks.ts";
import type { DecoderShape } from "./decoderShape.ts";
import { expertMlp } from "./experts.ts";
import type { Family } from "./family.ts";
import { llamaShape, mlpShape } from "./llama.ts";
import { gatedMlp, linear } from "./mlp.ts";
import { expertShape, hasExperts } from "./moeConfig.ts";

const size = z.int().positive();

const fields = z.looseObject({
  shared_expert_intermediate_size: size.default(5632),
  qkv_bias: z.boolean().default(true),
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.int().nonnegative().nullish(),
  max_window_layers: z.int().default(28),
  layer_types: z.array(z.string()).nullish(),
});

type Fields = z.infer<typeof fields>;

/** Qwen 2 with experts in some layers, beside which one expert of all tokens stands behind a gate. */
export const qwen2Moe: Family = {
  modelType: "qwen2_moe",
  architectures: {
    Qwen2MoeForCausalLM: (m) => {
      const { config } = m.checkpoint;
      const shape = llamaShape(config);
      const c = parseFields(fields, config.raw, config.file);
      const experts = hasExperts(config);
      const dense = gatedMlp({ ...mlpShape(config), hasBias: false });
      const sparse = withSharedExpert(config, c);
      return buildDecoder(m, {
        ...shape,
        queryBias: c.qkv_bias,
        outputBias: false,
        mlp: (builder, at) => (experts(at.layer) ? sparse : dense)(builder, at),
        windows: windows(c, shape.layers),
      });
    },
  },
};

/** experts(x) + sigmoid(gate(x)) · shared(x). */
function withSharedExpert(config: ModelConfig, c: Fields): DecoderShape["mlp"] {
  const mlp = mlpShape(config);
  const experts = expertMlp(expertShape(config));
  const inner = c.shared_expert_intermediate_size;
  const shared = gatedMlp({ ...mlp, inner, hasBias: false });
  return (m, { layer, path, x }) => {
    const chosen = experts(m, { layer, path, x });
    const all = shared(m, { layer, path: `${path}.shared_expert`, x });
    const gate = m.linears(x, [linear(`${path}.shared_expert_gate`, [mlp.hidden, 1], false)]);
    return m.g.scope(path, () => m.g.add(chosen, m.g.mul(m.g.sigmoid(gate), all)));
  };
}

/** By layer type, else every second layer below `max_window_layers` (Qwen2MoeConfig). */
function windows(c: Fields, layers: number): (number | null)[] {
  const named = c.sliding_window === undefined ? 4096 : c.sliding_window;
  const window = c.use_sliding_window && named ? named : null;
  return Array.from({ length: layers }, (_, layer) => {
    const slides = c.layer_types
      ? c.layer_types[layer] === "sliding_attention"
      : layer % 2 === 0 && layer < c.max_window_layers;
    return slides ? window : null;
  });
}
