import type { Value } from "../onnx/graph.ts";
import type { DecoderShape } from "./decoderShape.ts";
import type { ModelBuilder } from "./modelBuilder.ts";
import { norm } from "./norms.ts";

/** Norms of queries and keys [batch, heads + kv, seq, dim], head by head; as they are without any. */
export function normHeads(
  m: ModelBuilder,
  shape: DecoderShape,
  { path, queryKey }: { path: string; queryKey: Value },
): Value {
  const { heads, keyValueHeads: kv, headDim: size, queryKeyNorm: kind } = shape;
  if (kind !== "head" && kind !== "each") return queryKey;
  if (kind === "each") {
    const names = [...headNames("q", heads), ...headNames("k", kv)];
    return normEach(m, shape, { paths: names.map((name) => `${path}.${name}`), x: queryKey });
  }
  const [query, key] = m.g.split(queryKey, [heads, kv], 1) as [Value, Value];
  const normed = [
    norm(m, shape.norm, { path: `${path}.q_norm`, x: query, size }),
    norm(m, shape.norm, { path: `${path}.k_norm`, x: key, size }),
  ];
  return m.g.concat(normed, 1);
}

/** Norms of all queries and of all keys at once, in rows [query | key | value] (OLMo 2). */
export function normWhole(
  m: ModelBuilder,
  shape: DecoderShape,
  { path, qkv }: { path: string; qkv: Value },
): Value {
  const { heads, keyValueHeads: kv, headDim } = shape;
  const sizes: [number, number, number] = [heads * headDim, kv * headDim, kv * headDim];
  const [query, key, value] = m.g.split(qkv, sizes, -1) as [Value, Value, Value];
  const normed = [
    norm(m, shape.norm, { path: `${path}.q_norm`, x: query, size: sizes[0] }),
    norm(m, shape.norm, { path: `${path}.k_norm`, x: key, size: sizes[1] }),
  ];
  return m.g.concat([...normed, value], -1);
}

function headNames(part: "q" | "k", count: number): string[] {
  return Array.from({ length: count }, (_, head) => `${part}_layernorm.norms.${head}`);
}

/** A LayerNorm without bias for each head, with a weight of its own (StableLM's qk_layernorm). */
function normEach(
  m: ModelBuilder,
  { headDim: size, norm: { epsilon } }: DecoderShape,
  { paths, x }: { paths: readonly string[]; x: Value },
): Value {
  const { g } = m;
  const weights = paths.map((path) => g.unsqueeze(m.norm(path, size), 0));
  // [heads, dim] → [heads, 1, dim]
  const stacked = g.unsqueeze(g.concat(weights, 0), 1);
  const ones = g.float32s(`const.ones.${size}`, new Float32Array(size).fill(1), [size]);
  return g.mul(g.layerNorm(x, { weight: ones, epsilon }), stacked);
}
