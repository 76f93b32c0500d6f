/** A prefix of keys and values: not rotated, they stand where those of as many placeholders would. */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LayerHook } from "../../onnx/layerHook.ts";
import { type PromptConfig, submodules } from "../prompt/config.ts";
import { keysOf, prefixLayers } from "../prompt/prefixTuning.ts";
import type { PromptContext, PromptValues } from "./promptForm.ts";

/** Numbers of one layer's keys, or values, of a token. */
export function keyWidth({ base }: PromptContext<PromptConfig>): number {
  return base.attention.keyValueHeads * base.attention.headDim;
}

/** Numbers of a virtual token: of every layer the keys, then the values. */
export function tokenWidth(context: PromptContext<PromptConfig>): number {
  return 2 * prefixLayers(context) * keyWidth(context);
}

/** Fields of PEFT that a prefix takes from the base: sizes of keys, not of queries. */
export function cacheFields(context: PromptContext<PromptConfig>): Record<string, number> {
  const width = keyWidth(context);
  return { num_attention_heads: context.base.attention.keyValueHeads, token_dim: width };
}

/** @throws unsupported for an encoder whose attention takes no keys from elsewhere */
export function requireMemory({ base, config, file }: PromptContext<PromptConfig>): void {
  submodules(config, { base, file });
  if (base.encoder?.takesPrefix !== false) return;
  throw unsupported(
    t("{0}: {1} has no place for keys and values before a text", file, base.modelType),
    t("Take prompt tuning or P-tuning instead."),
  );
}

/** One prefix [virtual tokens, numbers of a token] before every text, or before every answer. */
export function beforeMemory(
  context: PromptContext<PromptConfig>,
  { prompt }: PromptValues,
): Pick<LayerHook, "memory" | "prefix"> {
  return {
    memory: (g, layer, { key, value }) => {
      const prefix = prompt(g);
      const first = keysOf(layer, context);
      return {
        key: replaced(g, key, { prefix, part: first, context }),
        value: replaced(g, value, { prefix, part: first + 1, context }),
      };
    },
    prefix: (g, layer, like) => {
      const prefix = prompt(g);
      const first = keysOf(layer, context);
      return {
        key: partRows(g, like, { prefix, part: first, context }),
        value: partRows(g, like, { prefix, part: first + 1, context }),
      };
    },
  };
}

interface PrefixPart {
  readonly prefix: Value;
  readonly part: number;
  readonly context: PromptContext<PromptConfig>;
}

/** A part of the prefix for as many texts as `like` has, [batch, kv heads, virtual tokens, dim]. */
function partRows(g: GraphBuilder, like: Value, at: PrefixPart): Value {
  const { config, base } = at.context;
  const { keyValueHeads: heads, headDim: dim } = base.attention;
  const layers = prefixLayers(at.context);
  const count = config.num_virtual_tokens;
  // [tokens, 2 · layers, heads, dim]
  const parts = g.reshape(at.prefix, [count, 2 * layers, heads, dim]);
  const own = g.squeeze(g.gather(parts, g.int64s([at.part]), 1), 1);
  const turned = g.reshape(g.transpose(own, [1, 0, 2]), [1, heads * count, dim]);
  return g.reshape(g.repeatRows(turned, like, [heads * count, dim]), [0, heads, count, dim]);
}

/** x [batch, kv heads, seq, dim] with its first rows replaced by a part of the prefix. */
function replaced(g: GraphBuilder, x: Value, at: PrefixPart): Value {
  const count = at.context.config.num_virtual_tokens;
  const [others] = g.node("Slice", [x, g.int64s([count]), g.int64s([2 ** 31]), g.int64s([2])]);
  return g.concat([partRows(g, x, at), others], 2);
}
