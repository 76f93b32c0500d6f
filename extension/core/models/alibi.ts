/**
 * ALiBi (https://arxiv.org/abs/2108.12409) as transformers computes it: what a head adds to a score is
 * its slope times the key's place among the real tokens of its row, whatever the query's place. That
 * is the paper's distance but for a constant of each row of scores, which softmax does not see.
 */
import { onnxTypes, type Value } from "../onnx/graph.ts";
import type { AttentionShape } from "./attention.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

export interface AlibiOptions {
  /** Slopes, places and their products are rounded to bf16 (Falcon). */
  readonly roundsToBf16?: boolean;
  /** Factor on the bias. */
  readonly scale?: number;
}

/** Slopes of the heads: a geometric series, filled up with every other one of the next finer series. */
export function alibiSlopes(heads: number): Float32Array {
  const power = 2 ** Math.floor(Math.log2(heads));
  const series = (count: number): number => Math.fround(2 ** -(2 ** -(Math.log2(count) - 3)));
  const [base, finer] = [series(power), series(2 * power)];
  return Float32Array.from({ length: heads }, (_, head) =>
    head < power ? base ** (head + 1) : finer ** (2 * (head - power) + 1),
  );
}

/**
 * The mask [batch, 1, queries per key · seq, keys] with every head's bias:
 * [batch, kv heads, queries per key · seq, keys]. Declares the input `key_positions`.
 */
export function withAlibi(
  m: ModelBuilder,
  { heads, keyValueHeads: kv }: AttentionShape,
  mask: Value,
  { roundsToBf16 = false, scale = 1 }: AlibiOptions = {},
): Value {
  const { g } = m;
  const round = (x: Value): Value =>
    roundsToBf16 ? g.cast(g.cast(x, onnxTypes.bfloat16), onnxTypes.float32) : x;
  const perKey = heads / kv;
  const slopes = round(g.float32s("alibi.slopes", alibiSlopes(heads), [heads, 1, 1]));
  const places = round(g.input("key_positions", "float32", ["batch", 1, 1, "keys"]));
  const bias = g.scale(round(g.mul(slopes, places)), scale); // [batch, heads, 1, keys]
  if (perKey === 1) return g.add(mask, bias);
  // Rows of the mask are the queries of all heads that share a key, one head after another.
  const perHead = g.reshape(mask, [0, perKey, -1, 0]);
  const parts = g.split(bias, Array<number>(kv).fill(perKey), 1);
  return g.reshape(
    g.concat(
      parts.map((part) => g.add(perHead, part)),
      1,
    ),
    [0, kv, -1, 0],
  );
}
