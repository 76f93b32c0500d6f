import type { LinearModule } from "../onnx/layerHook.ts";
import type { Value } from "../onnx/graph.ts";
import { type AttentionMask, attentionMask, type CausalModel } from "./causalModel.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** A decoder of the Llama pattern, as numbers; families differ in these. */
export interface DecoderShape {
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly intermediateSize: number;
  readonly vocabulary: number;
  readonly normEpsilon: number;
  readonly contextLength: number;
  readonly tiedEmbeddings: boolean;
  readonly inverseFrequencies: Float32Array;
  readonly queryBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** RMS norm of each head's query and key before rotation (Qwen 3). */
  readonly queryKeyNorm: boolean;
  /** Attention window of each layer; null is full attention. */
  readonly windows: readonly (number | null)[];
}

/** Values that all layers share. */
interface DecoderInputs {
  readonly positions: Value;
  readonly cos: Value;
  readonly sin: Value;
  readonly kvSizes: Value;
  readonly masks: ReadonlyMap<number | null, Value>;
}

/** What attention needs to know of a decoder. */
export interface AttentionShape {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly windows: readonly (number | null)[];
  /** Factor on each layer's scores; 1 / √headDim without. */
  readonly scales?: readonly number[];
}

export interface AttentionInputs {
  readonly kvSizes: Value;
  readonly masks: ReadonlyMap<number | null, Value>;
  /** What queries and keys go through before they meet: norms, rotation. */
  turn?(path: string, queryKey: Value): Value;
}

/** Builds the Llama pattern: pre-norm attention and gated MLP, both added to the stream. */
export function buildDecoder(m: ModelBuilder, own: DecoderShape): CausalModel {
  const { g } = m;
  const shape = m.layers ? withLayers(own, m.layers) : own;
  const { hiddenSize: hidden, keyValueHeads, headDim, vocabulary, normEpsilon: epsilon } = shape;
  const ids = g.input("input_ids", "int64", ["batch", "seq"]);
  const masks = distinctMasks(shape);
  const inputs = declareInputs(m, shape, masks);
  const keys: Value[] = [];
  const values: Value[] = [];

  let stream = m.embedding("model.embed_tokens", ids, [vocabulary, hidden]);
  let pending: Value | null = null;
  for (let layer = 0; layer < shape.layers; layer++) {
    const path = `model.layers.${layer}`;
    const around = m.block(path, hidden);
    if (around) {
      stream = around.enter(pending === null ? stream : g.add(stream, pending));
      pending = null;
    }
    const before = addAndNorm(m, {
      stream,
      pending,
      path: `${path}.input_layernorm`,
      hidden,
      epsilon,
    });
    const attended = attention(m, shape, { layer, x: before.normed, inputs });
    keys.push(attended.key);
    values.push(attended.value);
    const after = addAndNorm(m, {
      stream: before.stream,
      pending: attended.output,
      path: `${path}.post_attention_layernorm`,
      hidden,
      epsilon,
    });
    pending = gatedMlp(m, shape, { path: `${path}.mlp`, x: after.normed });
    stream = after.stream;
    if (around) {
      stream = around.leave(g.add(stream, pending));
      pending = null;
    }
  }
  const last = addAndNorm(m, { stream, pending, path: "model.norm", hidden, epsilon });
  m.hidden(last.normed, hidden);
  if (m.hasHead) {
    const rows = g.gather(last.normed, g.input("logits_rows", "int64", ["rows"]), 1);
    const logits = languageModelHead(m, shape, rows);
    g.output(logits, "logits", "float32", ["batch", "rows", "vocabulary"]);
  }
  const flat = [...keys, ...values].map((kv) => g.unsqueeze(kv, 0));
  const kvShape = [2 * shape.layers, "batch", keyValueHeads, "seq", headDim];
  g.output(g.concat(flat, 0), "new_kv", "float32", kvShape);
  return {
    kind: "causal",
    graph: g.build(m.checkpoint.config.architecture),
    tree: { modules: m.modules, outputEmbedding: "lm_head" },
    groups: m.groups,
    layers: shape.layers,
    keyValueHeads,
    queriesPerKey: shape.heads / keyValueHeads,
    headDim,
    vocabulary,
    contextLength: shape.contextLength,
    inverseFrequencies: shape.inverseFrequencies,
    masks,
  };
}

function withLayers(shape: DecoderShape, layers: readonly number[]): DecoderShape {
  const windows = layers.map((layer) => shape.windows[layer] ?? null);
  return { ...shape, layers: layers.length, windows };
}

function distinctMasks({ windows }: DecoderShape): AttentionMask[] {
  return [...new Set(windows)].map(attentionMask);
}

function declareInputs(
  { g }: ModelBuilder,
  { headDim }: DecoderShape,
  masks: readonly AttentionMask[],
): DecoderInputs {
  const table = ["rope_rows", headDim / 2];
  return {
    positions: g.input("position_ids", "int64", ["batch", "seq"]),
    cos: g.input("rope_cos", "float32", table),
    sin: g.input("rope_sin", "float32", table),
    kvSizes: g.input("kv_sizes", "int64", [2]),
    masks: new Map(
      masks.map(({ input, window }) => [
        window,
        g.input(input, "float32", ["batch", 1, "queries", "keys"]),
      ]),
    ),
  };
}

/** Adds the last block's output to the stream (when there is one) and normalises. */
function addAndNorm(
  m: ModelBuilder,
  at: { stream: Value; pending: Value | null; path: string; hidden: number; epsilon: number },
): { normed: Value; stream: Value } {
  const { stream, pending, path, hidden, epsilon } = at;
  const weight = m.norm(path, hidden);
  return m.g.scope(path, () => {
    if (pending === null) return { normed: m.g.rmsNorm(stream, weight, epsilon), stream };
    const [normed, sum] = m.g.addRmsNorm(stream, pending, { weight, epsilon });
    return { normed, stream: sum };
  });
}

/** Grouped-query attention over [past | new]; query heads that share a key are stacked as rows. */
function attention(
  m: ModelBuilder,
  shape: DecoderShape,
  { layer, x, inputs }: { layer: number; x: Value; inputs: DecoderInputs },
): { output: Value; key: Value; value: Value } {
  const { g } = m;
  const { heads, keyValueHeads: kv, headDim, hiddenSize } = shape;
  const path = `model.layers.${layer}.self_attn`;
  const projection = (name: string, count: number): LinearModule =>
    linear(`${path}.${name}`, [hiddenSize, count * headDim], shape.queryBias);
  const qkv = m.linears(x, [
    projection("q_proj", heads),
    projection("k_proj", kv),
    projection("v_proj", kv),
  ]);
  const turn = (at: string, queryKey: Value): Value => {
    const normed = shape.queryKeyNorm ? normQueryKey(m, shape, { path: at, queryKey }) : queryKey;
    return g.rotary(normed, inputs.positions, inputs);
  };
  const joined = attend(m, shape, { layer, path, qkv, inputs: { ...inputs, turn } });
  const outputModule = linear(`${path}.o_proj`, [heads * headDim, hiddenSize], shape.outputBias);
  return { output: m.linears(joined.mixed, [outputModule]), key: joined.key, value: joined.value };
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
    const [queryKey, value] = g.split(perHead, [heads + kv, kv], 1) as [Value, Value];
    const turned = inputs.turn ? inputs.turn(path, queryKey) : queryKey;
    const [query, key] = g.split(turned, [heads, kv], 1) as [Value, Value];
    const pastKey = g.input(`past_key.${layer}`, "float32", ["batch", kv, "past", headDim]);
    const pastValue = g.input(`past_value.${layer}`, "float32", ["batch", kv, "past", headDim]);
    // [batch, heads, seq, dim] → [batch, kv, queries per key · seq, dim]
    const stacked = g.reshape(query, [0, kv, -1, headDim]);
    const scale = shape.scales?.[layer] ?? 1 / Math.sqrt(headDim);
    const scores = g.concat(
      [g.matMulTransposed(stacked, pastKey, scale), g.matMulTransposed(stacked, key, scale)],
      -1,
    );
    const mask = inputs.masks.get(shape.windows[layer] ?? null) as Value;
    const weights = g.softmax(g.add(scores, mask));
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

function normQueryKey(
  m: ModelBuilder,
  { heads, keyValueHeads, headDim, normEpsilon }: DecoderShape,
  { path, queryKey }: { path: string; queryKey: Value },
): Value {
  const [query, key] = m.g.split(queryKey, [heads, keyValueHeads], 1) as [Value, Value];
  return m.g.concat(
    [
      m.g.rmsNorm(query, m.norm(`${path}.q_norm`, headDim), normEpsilon),
      m.g.rmsNorm(key, m.norm(`${path}.k_norm`, headDim), normEpsilon),
    ],
    1,
  );
}

/** down(silu(gate(x)) · up(x)). */
function gatedMlp(
  m: ModelBuilder,
  { hiddenSize, intermediateSize: inner, mlpBias }: DecoderShape,
  { path, x }: { path: string; x: Value },
): Value {
  const both = m.linears(x, [
    linear(`${path}.gate_proj`, [hiddenSize, inner], mlpBias),
    linear(`${path}.up_proj`, [hiddenSize, inner], mlpBias),
  ]);
  const product = m.g.scope(path, () => {
    const [gate, up] = m.g.split(both, [inner, inner], -1) as [Value, Value];
    return m.g.mul(m.g.silu(gate), up);
  });
  return m.linears(product, [linear(`${path}.down_proj`, [inner, hiddenSize], mlpBias)]);
}

/** Logits [batch, rows, vocab]; a tied head is the embedding table read the other way. */
function languageModelHead(m: ModelBuilder, shape: DecoderShape, rows: Value): Value {
  const { hiddenSize, vocabulary, tiedEmbeddings } = shape;
  const weight = tiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  return m.linears(rows, [{ ...linear("lm_head", [hiddenSize, vocabulary], false), weight }]);
}

function linear(path: string, [inputs, out]: [number, number], hasBias: boolean): LinearModule {
  return { kind: "linear", path, in: inputs, out, hasBias };
}
