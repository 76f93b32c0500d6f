import { z } from "zod";
import { unsupported } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { Value } from "../onnx/graph.ts";
import { type Activation, activationOf } from "./activations.ts";
import { attend, type AttentionShape } from "./attention.ts";
import { attentionMask, type CausalModel } from "./causalModel.ts";
import { endDecoder } from "./decoderHeads.ts";
import { mix } from "./encoderBlocks.ts";
import type { EncoderModel } from "./encoderModel.ts";
import type { Family } from "./family.ts";
import { linear } from "./mlp.ts";
import type { ModelStack } from "./model.ts";
import type { ModelBuilder } from "./modelBuilder.ts";
import { norm } from "./norms.ts";
import type { RelativePositions } from "./relativePositions.ts";
import type { Seq2SeqModel } from "./seq2seqModel.ts";

const size = z.int().positive();

const fields = z.looseObject({
  vocab_size: size.default(32128),
  d_model: size.default(512),
  d_kv: size.default(64),
  d_ff: size.default(2048),
  num_layers: size.default(6),
  num_decoder_layers: size.nullish(),
  num_heads: size.default(8),
  relative_attention_num_buckets: z.int().min(4).default(32),
  relative_attention_max_distance: size.default(128),
  layer_norm_epsilon: z.number().positive().default(1e-6),
  feed_forward_proj: z.string().default("relu"),
  tie_word_embeddings: z.boolean().nullish(),
  scale_decoder_outputs: z.boolean().nullish(),
  decoder_start_token_id: z.int().nonnegative().nullish(),
  pad_token_id: z.int().nonnegative().nullish(),
});

/** Relative positions have no end; what ends is memory, of which attention takes the square. */
const contextLength = 4096;

/** T5 as numbers. */
interface Shape {
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

type Config = z.infer<typeof fields>;

/** "relu", "gated-gelu" (which is gelu_new), "gated-silu", … (transformers T5Config). */
function feedForwardOf(c: Config, file: string): Pick<Shape, "activation" | "isGated"> {
  const name = c.feed_forward_proj;
  const isGated = name.startsWith("gated-");
  const own = name === "gated-gelu" ? "gelu_new" : name.replace(/^gated-/, "");
  return { isGated, activation: activationOf(own, { file }) };
}

function shapeOf(c: Config, file: string): Shape {
  return {
    hidden: c.d_model,
    heads: c.num_heads,
    headDim: c.d_kv,
    inner: c.d_ff,
    vocabulary: c.vocab_size,
    epsilon: c.layer_norm_epsilon,
    ...feedForwardOf(c, file),
    buckets: c.relative_attention_num_buckets,
    maxDistance: c.relative_attention_max_distance,
  };
}

function build(m: ModelBuilder): Seq2SeqModel {
  const { config } = m.checkpoint;
  if (m.layers) {
    throw unsupported(
      `${config.file}: layers of a model with encoder and decoder cannot be repeated`,
    );
  }
  const c = parseFields(fields, config.raw, config.file);
  const shape = shapeOf(c, config.file);
  const layers = c.num_decoder_layers ?? c.num_layers;
  const d = m.beside();
  const encoder = buildEncoder(m, shape, { layers: c.num_layers, decoderLayers: layers });
  const isScaled = c.scale_decoder_outputs ?? c.tie_word_embeddings !== false;
  const decoder = buildDecoder(d, shape, { layers, scale: isScaled ? shape.hidden ** -0.5 : 1 });
  const common = stackOf(m, shape);
  const graph = d.g.build(`${config.architecture}.decoder`);
  return {
    ...common,
    kind: "seq2seq",
    graph,
    layers,
    encoder: { ...common, ...encoder },
    decoder: { ...common, ...decoder, graph, layers },
    startToken: c.decoder_start_token_id ?? c.pad_token_id ?? 0,
  };
}

function stackOf(m: ModelBuilder, shape: Shape): Omit<ModelStack, "graph" | "layers"> {
  return {
    tree: { modules: inOrder(m.modules), outputEmbedding: "lm_head" },
    groups: m.groups,
    keyValueHeads: shape.heads,
    queriesPerKey: 1,
    headDim: shape.headDim,
    vocabulary: shape.vocabulary,
    contextLength,
  };
}

type OwnPart<M extends ModelStack> = Omit<M, Exclude<keyof ModelStack, "graph" | "layers">>;

function buildEncoder(
  m: ModelBuilder,
  shape: Shape,
  { layers, decoderLayers }: { layers: number; decoderLayers: number },
): OwnPart<EncoderModel> {
  const { g } = m;
  const relative = relativeOf(shape, { stack: "encoder", isBidirectional: true });
  let stream = embedded(m, shape);
  const mask = biasedMask(m, shape, { stack: "encoder", relative });
  for (let layer = 0; layer < layers; layer++) {
    const block = `encoder.block.${layer}`;
    const path = `${block}.layer.0.SelfAttention`;
    const x = normed(m, shape, { path: `${block}.layer.0.layer_norm`, x: stream });
    const { heads, headDim } = shape;
    const at = { path, heads, headDim, mask, prefix: null, scale: 1 };
    stream = g.add(
      stream,
      output(m, shape, { path, mixed: mix(m, projected(m, shape, { path, x }), at) }),
    );
    stream = feedForward(m, shape, { path: `${block}.layer.1`, stream });
  }
  const read = normed(m, shape, { path: "encoder.final_layer_norm", x: stream });
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

function buildDecoder(
  m: ModelBuilder,
  shape: Shape,
  { layers, scale }: { layers: number; scale: number },
): Omit<OwnPart<CausalModel>, "graph" | "layers"> {
  const { g } = m;
  const { hidden, heads, headDim, vocabulary } = shape;
  const relative = relativeOf(shape, { stack: "decoder", isBidirectional: false });
  const each = Array.from({ length: layers }, () => 1);
  const attention: AttentionShape = {
    ...{ heads, keyValueHeads: heads, headDim, scales: each },
    windows: each.map(() => null),
  };
  let stream = embedded(m, shape);
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
  endDecoder(m, normed(m, shape, { path: "decoder.final_layer_norm", x: stream }), {
    hidden,
    languageHead: (rows) => {
      const isTied = !m.hasWeight("lm_head.weight");
      const head = linear("lm_head", [hidden, vocabulary], false);
      return m.linears(g.scale(rows, scale), [{ ...head, ...(isTied && { weight: table }) }]);
    },
  });
  const flat = [...keys, ...values].map((kv) => g.unsqueeze(kv, 0));
  g.output(g.concat(flat, 0), "new_kv", "float32", [2 * layers, "batch", heads, "seq", headDim]);
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
    const weights = g.softmax(g.add(g.matMulTransposed(query, key), crossMask));
    const values = { query, mixed: g.matMul(weights, value), scale: 1 };
    const own = m.attention(path, { ...values, keyValueHeads: heads, headDim });
    return g.reshape(g.transpose(own, [0, 2, 1, 3]), [0, 0, heads * headDim]);
  });
  return output(m, shape, { path, mixed });
}

/** The table that both stacks read, and a tied head. */
const table = "shared.weight";

function embedded(m: ModelBuilder, { vocabulary, hidden }: Shape): Value {
  const ids = m.g.input("input_ids", "int64", ["batch", "seq"]);
  return m.embedding("shared", ids, [vocabulary, hidden]);
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
  return m.linears(mixed, [linear(`${path}.o`, [heads * headDim, hidden], false)]);
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
  return g.add(stream, m.linears(active, [linear(`${at}.wo`, [inner, hidden], false)]));
}

const stacks = ["shared", "encoder", "decoder", "lm_head"];
const leaves = ["q", "k", "v", "o", "relative_attention_bias", "wi", "wi_0", "wi_1", "wo"];

/** PyTorch's order, in which the decoder's modules stand together, each module once. */
function inOrder(modules: readonly ModuleInfo[]): ModuleInfo[] {
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

export const t5: Family = {
  modelType: "t5",
  backbone: "",
  architectures: { T5ForConditionalGeneration: build },
  // Files of the first versions have a table that nothing reads.
  tensorName: (name) => (/EncDecAttention\.relative_attention_bias/.test(name) ? null : name),
};
