/** A prefix of keys and values: not rotated, they stand where those of as many placeholders would. */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LayerHook } from "../../onnx/layerHook.ts";
import type { PromptConfig } from "../prompt/config.ts";
import type { PromptContext, PromptValues } from "./promptForm.ts";

/** Numbers of one layer's keys, or values, of a token. */
export function keyWidth({ base }: PromptContext<PromptConfig>): number {
  return base.attention.keyValueHeads * base.attention.headDim;
}

/** Numbers of a virtual token: of every layer the keys, then the values. */
export function tokenWidth(context: PromptContext<PromptConfig>): number {
  return 2 * context.base.attention.layers * keyWidth(context);
}

/** Fields of PEFT that a prefix takes from the base: sizes of keys, not of queries. */
export function cacheFields(context: PromptContext<PromptConfig>): Record<string, number> {
  const width = keyWidth(context);
  return { num_attention_heads: context.base.attention.keyValueHeads, token_dim: width };
}

/** One prefix [virtual tokens, numbers of a token] before every text. */
export function beforeMemory(
  context: PromptContext<PromptConfig>,
  { prompt }: PromptValues,
): Pick<LayerHook, "memory"> {
  return {
    memory: (g, layer, { key, value }) => {
      const prefix = prompt(g);
      return {
        key: replaced(g, key, { prefix, part: 2 * layer, context }),
        value: replaced(g, value, { prefix, part: 2 * layer + 1, context }),
      };
    },
  };
}

/** x [batch, kv heads, seq, dim] with its first rows replaced by a part of the prefix. */
function replaced(
  g: GraphBuilder,
  x: Value,
  at: { prefix: Value; part: number; context: PromptContext<PromptConfig> },
): Value {
  const { config, base } = at.context;
  const { layers, keyValueHeads: heads, headDim: dim } = base.attention;
  const count = config.num_virtual_tokens;
  // [tokens, 2 · layers, heads, dim]
  const parts = g.reshape(at.prefix, [count, 2 * layers, heads, dim]);
  const own = g.squeeze(g.gather(parts, g.int64s([at.part]), 1), 1);
  const turned = g.reshape(g.transpose(own, [1, 0, 2]), [1, heads * count, dim]);
  const rows = g.reshape(g.repeatRows(turned, x, [heads * count, dim]), [0, heads, count, dim]);
  const [others] = g.node("Slice", [x, g.int64s([count]), g.int64s([2 ** 31]), g.int64s([2])]);
  return g.concat([rows, others], 2);
}
