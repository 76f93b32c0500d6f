/** The two stacks of T5 (https://arxiv.org/abs/1910.10683; transformers modeling_t5.py), a graph each. */
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { Value } from "../onnx/graph.ts";
import type { Activation } from "./activations.ts";
import { attend, type AttentionShape, outputNewRows } from "./attention.ts";
import { attentionMask, type CausalModel } from "./causalModel.ts";
import { endDecoder } from "./decoderHeads.ts";
import { dropoutRate } from "./dropout.ts";
import { mix } from "./encoderBlocks.ts";
import type { EncoderModel } from "./encoderModel.ts";
import { linear } from "./mlp.ts";
import type { ModelStack } from "./model.ts";
import type { ModelBuilder } from "./modelBuilder.ts";
import { norm } from "./norms.ts";
import type { RelativePositions } from "./relativePositions.ts";

/** T5 as numbers. */
export interface Shape {
  readonly hidden: number;
  readonly heads: number;
  readonly headDim: number;
  readonly inner: number;
  readonly vocabulary: number;
  readonly epsilon: number;
  readonly activation: Activation;
  readonly isGated: boolean;
  readonly buckets: number;
  readonly maxDistance: number;
}

type OwnPart<M extends ModelStack> = Omit<M, Exclude<keyof ModelStack, "graph" | "layers">>;

export function buildEncoder(
  m: ModelBuilder,
  shape: Shape,
  { layers, decoderLayers }: { layers: number; decoderLayers: number },
): OwnPart<EncoderModel> {
  const { g } = m;
  const relative = relativeOf(shape, { stack: "encoder", isBidirectional: true });
  let stream = embedded(m, shape, "encoder");
  const mask = biasedMask(m, shape, { stack: "encoder", relative });
  for (let layer = 0; layer < layers; layer++) {
    const block = `encoder.block.${layer}`;
    const path = `${block}.layer.0.SelfAttention`;
    const x = normed(m, shape, { path: `${block}.layer.0.layer_norm`, x: stream });
    const { heads, headDim } = shape;
    const at = { path, heads, headDim, mask, prefix: null, scale: 1, dropout: rate };
    stream = g.add(
      stream,
      output(m, shape, { path, mixed: mix(m, projected(m, shape, { path, x }), at) }),
    );
    stream = feedForward(m, shape, { path: `${block}.layer.1`, stream });
  }
  const read = lastNormed(m, shape, { path: "encoder.final_layer_norm", x: stream });
  for (let layer = 0; layer < decoderLayers; layer++) crossOutputs(m, shape, { layer, read });
  return {
    kind: "encoder",
    graph: g.build(`${m.checkpoint.config.architecture}.encoder`),
    layers,
    hasTokenTypes: false,
    positions: { kind: "count" },
    takesPrefix: false,
    relative,
  };
}

/** Keys and values of the encoder's output for a layer of the decoder. */
function crossOutputs(
  m: ModelBuilder,
  { hidden, heads, headDim }: Shape,
  { layer, read }: { layer: number; read: Value },
): void {
  const { g } = m;
  const path = `decoder.block.${layer}.layer.1.EncDecAttention`;
  const own = (name: string): ReturnType<typeof linear> =>
    linear(`${path}.${name}`, [hidden, heads * headDim], false);
  const both = m.linears(read, [own("k"), own("v")]);
  const perHead = g.transpose(g.reshape(both, [0, 0, 2 * heads, headDim]), [0, 2, 1, 3]);
  const [key, value] = g.split(perHead, [heads, heads], 1) as [Value, Value];
  const dims = ["batch", heads, "source", headDim];
  g.output(key, `cross_key.${layer}`, "float32", dims);
  g.output(value, `cross_value.${layer}`, "float32", dims);
}

export function buildDecoder(
  m: ModelBuilder,
  shape: Shape,
  { layers, scale, head }: { layers: number; scale: number; head: { weight?: string } },
): Omit<OwnPart<CausalModel>, "graph" | "layers"> {
  const { g } = m;
  const { hidden, heads, headDim, vocabulary } = shape;
  const relative = relativeOf(shape, { stack: "decoder", isBidirectional: false });
  const each = Array.from({ length: layers }, () => 1);
  const attention: AttentionShape = {
    ...{ heads, keyValueHeads: heads, headDim, scales: each, dropout: rate },
    windows: each.map(() => null),
  };
  let stream = embedded(m, shape, "decoder");
  const masks = new Map([[null, biasedMask(m, shape, { stack: "decoder", relative })]]);
  const kvSizes = g.input("kv_sizes", "int64", [2]);
  const crossMask = g.input("cross_mask", "float32", ["batch", 1, 1, "source"]);
  const [keys, values]: [Value[], Value[]] = [[], []];
  for (let layer = 0; layer < layers; layer++) {
    const block = `decoder.block.${layer}`;
    const path = `${block}.layer.0.SelfAttention`;
    const x = normed(m, shape, { path: `${block}.layer.0.layer_norm`, x: stream });
    const qkv = projected(m, shape, { path, x });
    const own = attend(m, attention, { layer, path, qkv, inputs: { kvSizes, masks } });
    keys.push(own.key);
    values.push(own.value);
    stream = g.add(stream, output(m, shape, { path, mixed: own.mixed }));
    stream = g.add(stream, crossAttention(m, shape, { layer, stream, crossMask }));
    stream = feedForward(m, shape, { path: `${block}.layer.2`, stream });
  }
  endDecoder(m, lastNormed(m, shape, { path: "decoder.final_layer_norm", x: stream }), {
    hidden,
    languageHead: (rows) =>
      m.linears(g.scale(rows, scale), [
        { ...linear("lm_head", [hidden, vocabulary], false), ...head },
      ]),
  });
  outputNewRows(g, { keys, values, keyValueHeads: heads, headDim });
  return { kind: "causal", rotary: [], masks: [attentionMask(null)], relative };
}

/** What the decoder takes from the prompt, [batch, seq, hidden]. */
function crossAttention(
  m: ModelBuilder,
  shape: Shape,
  { layer, stream, crossMask }: { layer: number; stream: Value; crossMask: Value },
): Value {
  const { g } = m;
  const { hidden, heads, headDim } = shape;
  const at = `decoder.block.${layer}.layer.1`;
  const path = `${at}.EncDecAttention`;
  const x = normed(m, shape, { path: `${at}.layer_norm`, x: stream });
  const queries = m.linears(x, [linear(`${path}.q`, [hidden, heads * headDim], false)]);
  const dims = ["batch", heads, "source", headDim];
  const mixed = g.scope(path, () => {
    const query = g.transpose(g.reshape(queries, [0, 0, heads, headDim]), [0, 2, 1, 3]);
    const key = g.input(`cross_key.${layer}`, "float32", dims);
    const value = g.input(`cross_value.${layer}`, "float32", dims);
    const scores = g.softmax(g.add(g.matMulTransposed(query, key), crossMask));
    const weights = m.dropout(scores, { path, rate, size: null });
    const values = { query, mixed: g.matMul(weights, value), scale: 1 };
    const own = m.attention(path, { ...values, keyValueHeads: heads, headDim });
    return g.reshape(g.transpose(own, [0, 2, 1, 3]), [0, 0, heads * headDim]);
  });
  return output(m, shape, { path, mixed });
}

/** The table that both stacks read, and a tied head. */
export const table = "shared.weight";

/** T5 drops out alike everywhere. */
const rate = dropoutRate(0.1, "dropout_rate");

function embedded(m: ModelBuilder, { vocabulary, hidden }: Shape, stack: string): Value {
  const ids = m.g.input("input_ids", "int64", ["batch", "seq"]);
  const isAnswer = stack === "decoder";
  const rows = m.scaledEmbedding("shared", ids, { size: [vocabulary, hidden], isAnswer });
  return m.dropout(rows, { path: `${stack}.embed_tokens`, rate, size: hidden });
}

function lastNormed(m: ModelBuilder, shape: Shape, at: { path: string; x: Value }): Value {
  return m.dropout(normed(m, shape, at), { path: at.path, rate, size: shape.hidden });
}

function relativeOf(
  { buckets, maxDistance }: Shape,
  { stack, isBidirectional }: { stack: string; isBidirectional: boolean },
): RelativePositions {
  return { input: `${stack}.relative_buckets`, buckets, maxDistance, isBidirectional };
}

/** The mask with every head's bias of a key's distance, [batch, heads, queries, keys]; for all layers. */
function biasedMask(
  m: ModelBuilder,
  { buckets, heads }: Shape,
  { stack, relative }: { stack: string; relative: RelativePositions },
): Value {
  const { g } = m;
  const rows = stack === "encoder" ? 1 : "queries";
  const mask = g.input("mask", "float32", ["batch", 1, rows, "keys"]);
  const ids = g.input(relative.input, "int64", ["queries", "keys"]);
  const path = `${stack}.block.0.layer.0.SelfAttention.relative_attention_bias`;
  const bias = g.transpose(m.embedding(path, ids, [buckets, heads]), [2, 0, 1]);
  return g.add(g.unsqueeze(bias, 0), mask);
}

function normed(
  m: ModelBuilder,
  { hidden, epsilon }: Shape,
  { path, x }: { path: string; x: Value },
): Value {
  return norm(m, { kind: "rms", epsilon }, { path, x, size: hidden });
}

/** [query | key | value] rows. */
function projected(
  m: ModelBuilder,
  { hidden, heads, headDim }: Shape,
  { path, x }: { path: string; x: Value },
): Value {
  const names = ["q", "k", "v"];
  return m.linears(
    x,
    names.map((name) => linear(`${path}.${name}`, [hidden, heads * headDim], false)),
  );
}

function output(
  m: ModelBuilder,
  { hidden, heads, headDim }: Shape,
  { path, mixed }: { path: string; mixed: Value },
): Value {
  const own = m.linears(mixed, [linear(`${path}.o`, [heads * headDim, hidden], false)]);
  return m.dropout(own, { path: `${path}.o`, rate, size: hidden });
}

function feedForward(
  m: ModelBuilder,
  shape: Shape,
  { path, stream }: { path: string; stream: Value },
): Value {
  const { g } = m;
  const { hidden, inner, isGated, activation } = shape;
  const at = `${path}.DenseReluDense`;
  const up = (name: string): ReturnType<typeof linear> =>
    linear(`${at}.${name}`, [hidden, inner], false);
  const x = normed(m, shape, { path: `${path}.layer_norm`, x: stream });
  const opened = m.linears(x, isGated ? [up("wi_0"), up("wi_1")] : [up("wi")]);
  const active = g.scope(at, () => {
    if (!isGated) return activation(g, opened);
    const [gate, rest] = g.split(opened, [inner, inner], -1) as [Value, Value];
    return g.mul(activation(g, gate), rest);
  });
  const kept = m.dropout(active, { path: `${at}.wo`, rate, size: inner });
  const closed = m.linears(kept, [linear(`${at}.wo`, [inner, hidden], false)]);
  return g.add(stream, m.dropout(closed, { path, rate, size: hidden }));
}

const stacks = ["shared", "encoder", "decoder", "lm_head"];
const leaves = ["q", "k", "v", "o", "relative_attention_bias", "wi", "wi_0", "wi_1", "wo"];

/** PyTorch's order, in which the decoder's modules stand together, each module once. */
export function inOrder(modules: readonly ModuleInfo[]): ModuleInfo[] {
  const once = [...new Map(modules.map((module) => [module.path, module])).values()];
  const keyOf = (path: string): number[] => {
    const [stack = "", , block = "", , layer = ""] = path.split(".");
    const leaf = leaves.indexOf(path.slice(path.lastIndexOf(".") + 1));
    const place = (text: string): number => (/^\d+$/.test(text) ? Number(text) : Infinity);
    return [stacks.indexOf(stack), place(block), place(layer), leaf < 0 ? leaves.length : leaf];
  };
  return once.sort((a, b) => {
    const [left, right] = [keyOf(a.path), keyOf(b.path)];
    const first = left.findIndex((value, i) => value !== right[i]);
    return first < 0 ? 0 : (left[first] as number) < (right[first] as number) ? -1 : 1;
  });
}
