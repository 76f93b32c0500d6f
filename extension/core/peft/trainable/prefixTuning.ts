/**
 * Prefix tuning (PEFT tuners/prefix_tuning/model.py): trained keys and values, not rotated, stand where
 * those of as many placeholders before the sequence would. Of a layer the keys come first.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { PromptConfig } from "../prompt/config.ts";
import { prefixTuning as method } from "../prompt/prefixTuning.ts";
import { storedPrompt } from "../prompt/virtualTokens.ts";
import { normal, zeros } from "./draws.ts";
import { type PromptContext, promptForm } from "./promptForm.ts";

function shapeOf({ config, base }: PromptContext<PromptConfig>): [number, number] {
  const { layers, keyValueHeads, headDim } = base.attention;
  return [config.num_virtual_tokens, 2 * layers * keyValueHeads * headDim];
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

export const prefixTuning = promptForm<PromptConfig>({
  method,
  predictsFirst: false,
  check: ({ config, file }) => {
    if (config["prefix_projection"] !== true) return;
    throw unsupported(
      t("{0}: Graft does not train the encoder of a prefix (prefix_projection) yet", file),
      t('Set "prefix_projection" to false.'),
    );
  },
  tensor: (context) => ({
    name: storedPrompt,
    torchName: "prompt_encoder.embedding.weight",
    shape: shapeOf(context),
  }),
  initialize: (context, random) => {
    const drawn = normal(random, shapeOf(context));
    return context.config["init_weights"] === "zero" ? zeros(shapeOf(context)) : drawn;
  },
  hook: (context, own) => ({
    memory: (g, layer, { key, value }) => {
      const prefix = own(g);
      return {
        key: replaced(g, key, { prefix, part: 2 * layer, context }),
        value: replaced(g, value, { prefix, part: 2 * layer + 1, context }),
      };
    },
  }),
});
