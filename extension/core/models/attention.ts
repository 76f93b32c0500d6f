import type { GraphBuilder } from "../onnx/builder.ts";
import type { Value } from "../onnx/graph.ts";
import { type AttentionMask, attentionMask } from "./causalModel.ts";
import { type DropoutRate, dropoutRate } from "./dropout.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** What attention needs to know of a decoder. */
export interface AttentionShape {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Attention window of each layer; null is full attention. */
  readonly windows: readonly (number | null)[];
  /** Factor on each layer's scores; 1 / √headDim without. */
  readonly scales?: readonly number[] | undefined;
  /** Scores stay within ± this (Gemma 2). */
  readonly softCap?: number | undefined;
  /** Of attention's weights in training; "attention_dropout" without. */
  readonly dropout?: DropoutRate | undefined;
}

const usualDropout = dropoutRate(0, "attention_dropout");

export interface AttentionInputs {
  readonly kvSizes: Value;
  readonly masks: ReadonlyMap<number | null, Value>;
  /** What queries and keys go through before they meet: norms, rotation. */
  turn?(path: string, queryKey: Value): Value;
}

/** Puts the new keys and values of all layers, [batch, kv heads, seq, dim] each, into one output. */
export function outputNewRows(
  g: GraphBuilder,
  rows: {
    keys: readonly Value[];
    values: readonly Value[];
    keyValueHeads: number;
    headDim: number;
  },
): void {
  const { keys, values, keyValueHeads, headDim } = rows;
  const shape = [`${2 * keys.length}*batch`, keyValueHeads, "seq", headDim];
  g.output(g.concat([...keys, ...values], 0), "new_kv", "float32", shape);
}

/** The masks that a decoder's windows need, each once. */
export function distinctMasks({ windows }: Pick<AttentionShape, "windows">): AttentionMask[] {
  return [...new Set(windows)].map(attentionMask);
}

/** Attention of projected [query | key | value] rows over [past | new], before its output projection. */
export function attend(
  m: ModelBuilder,
  shape: AttentionShape,
  at: { layer: number; path: string; qkv: Value; inputs: AttentionInputs },
): { mixed: Value; key: Value; value: Value } {
  const { g } = m;
  const { layer, path, qkv, inputs } = at;
  const { heads, keyValueHeads: kv, headDim } = shape;
  return g.scope(path, () => {
    // [batch, seq, (heads + 2 kv) · dim] → [batch, heads + 2 kv, seq, dim]
    const perHead = g.transpose(g.reshape(qkv, [0, 0, heads + 2 * kv, headDim]), [0, 2, 1, 3]);
    const [queryKey, ownValue] = g.split(perHead, [heads + kv, kv], 1) as [Value, Value];
    const turned = inputs.turn ? inputs.turn(path, queryKey) : queryKey;
    const [query, ownKey] = g.split(turned, [heads, kv], 1) as [Value, Value];
    const { key, value } = m.memory(layer, { key: ownKey, value: ownValue });
    const pastKey = g.input(`past_key.${layer}`, "float32", ["batch", kv, "past", headDim]);
    const pastValue = g.input(`past_value.${layer}`, "float32", ["batch", kv, "past", headDim]);
    // [batch, heads, seq, dim] → [batch, kv, queries per key · seq, dim]
    const stacked = g.reshape(query, [0, kv, -1, headDim]);
    const scale = shape.scales?.[layer] ?? 1 / Math.sqrt(headDim);
    const alpha = scale / (shape.softCap ?? 1);
    const products = g.concat(
      [g.matMulTransposed(stacked, pastKey, alpha), g.matMulTransposed(stacked, key, alpha)],
      -1,
    );
    const scores =
      shape.softCap === undefined ? products : g.scale(g.tanh(products), shape.softCap);
    const mask = inputs.masks.get(shape.windows[layer] ?? null) as Value;
    const rate = shape.dropout ?? usualDropout;
    const weights = m.dropout(g.softmax(g.add(scores, mask)), { path, rate, size: null });
    const [onPast, onNew] = g.splitBy(weights, inputs.kvSizes, { parts: 2, axis: -1 }) as [
      Value,
      Value,
    ];
    const sum = g.add(g.matMul(onPast, pastValue), g.matMul(onNew, value));
    const mixed = m.attention(path, {
      query: stacked,
      mixed: sum,
      scale,
      keyValueHeads: kv,
      headDim,
    });
    const perToken = g.transpose(g.reshape(mixed, [0, heads, -1, headDim]), [0, 2, 1, 3]);
    return { mixed: g.reshape(perToken, [0, 0, heads * headDim]), key, value };
  });
}
