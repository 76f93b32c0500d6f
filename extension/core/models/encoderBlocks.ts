/**
 * Encoders of the BERT pattern: embeddings of words, positions and perhaps segments, then blocks of
 * attention and MLP with a norm behind each sum. Families differ in names and in what follows.
 */
import type { LinearModule } from "../onnx/layerHook.ts";
import type { Value } from "../onnx/graph.ts";
import { declaredOrder } from "./declaredOrder.ts";
import type { Activation } from "./activations.ts";
import type { DropoutRate } from "./dropout.ts";
import type { EncoderModel, PositionRule } from "./encoderModel.ts";
import type { Head } from "./model.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** An encoder as numbers and names. */
export interface EncoderShape {
  /** Name of the stack in the family's classes. */
  readonly root: string;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly epsilon: number;
  /** Rows of the table of positions. */
  readonly positionRows: number;
  readonly positions: PositionRule;
  /** Kinds of segments; null where the model has none. */
  readonly tokenTypes: number | null;
  readonly activation: Activation;
  readonly names: BlockNames;
  /** Can keys and values stand before the sequence (prefix tuning)? */
  readonly takesPrefix: boolean;
  readonly dropout: EncoderDropout;
}

/** What is dropped out in training. */
export interface EncoderDropout {
  readonly hidden: DropoutRate;
  /** Of attention's weights. */
  readonly attention: DropoutRate;
  /** Of what attention's last layer gives; null for nothing. */
  readonly attended: DropoutRate | null;
  /** In front of a classifier. */
  readonly head: DropoutRate;
  /** In front of a head for spans; null for nothing. */
  readonly spans: DropoutRate | null;
}

/** Paths below a block. */
export interface BlockNames {
  /** Path of the list of blocks, below the root. */
  readonly blocks: string;
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly attended: string;
  readonly afterAttention: string;
  readonly up: string;
  readonly down: string;
  readonly afterMlp: string;
}

/** What the blocks share. */
interface Stack {
  readonly mask: Value;
}

/** The stream [batch, seq, hidden] behind the last block. */
export function encode(m: ModelBuilder, shape: EncoderShape): Value {
  const { g } = m;
  const mask = g.input("mask", "float32", ["batch", 1, 1, "keys"]);
  let stream = embed(m, shape);
  for (let layer = 0; layer < layerCount(m, shape); layer++) {
    stream = block(m, shape, { layer, stream, stack: { mask } });
  }
  return stream;
}

/** The model whose output is `logits`. */
export function encoderModel(
  m: ModelBuilder,
  shape: EncoderShape,
  end: { logits: Value; head: Head; outputEmbedding?: string },
): EncoderModel {
  const { logits, head, outputEmbedding = null } = end;
  m.g.output(logits, "logits", "float32", ["batch", "rows", head.width]);
  return {
    kind: "encoder",
    graph: m.g.build(m.checkpoint.config.architecture),
    tree: declaredOrder({ modules: m.modules, outputEmbedding }, declaredLate(m, shape, head)),
    groups: m.groups,
    layers: layerCount(m, shape),
    keyValueHeads: shape.heads,
    queriesPerKey: 1,
    headDim: shape.hidden / shape.heads,
    vocabulary: shape.vocabulary,
    contextLength: shape.positionRows,
    head,
    hasTokenTypes: shape.tokenTypes !== null,
    positions: shape.positions,
    takesPrefix: shape.takesPrefix,
  };
}

/** The first token alone [batch, 1, hidden]. */
export function firstToken(m: ModelBuilder, stream: Value): Value {
  return m.g.gather(stream, m.g.int64s([0]), 1);
}

export function linearOf(path: string, [inputs, out]: [number, number]): LinearModule {
  return { kind: "linear", path, in: inputs, out, hasBias: true };
}

/** A LayerNorm with weight and bias over the last axis. */
export function normOf(
  m: ModelBuilder,
  x: Value,
  { path, size, epsilon }: { path: string; size: number; epsilon: number },
): Value {
  const own = m.biasedNorm(path, size);
  return m.g.scope(path, () => m.g.layerNorm(x, { ...own, epsilon }));
}

function layerCount(m: ModelBuilder, { layers }: EncoderShape): number {
  return m.layers?.length ?? layers;
}

function embed(m: ModelBuilder, shape: EncoderShape): Value {
  const { g } = m;
  const { hidden, vocabulary, positionRows, tokenTypes, epsilon } = shape;
  const path = `${shape.root}.embeddings`;
  const ids = (name: string): Value => g.input(name, "int64", ["batch", "seq"]);
  const words = m.embedding(`${path}.word_embeddings`, ids("input_ids"), [vocabulary, hidden]);
  const places = m.embedding(`${path}.position_embeddings`, ids("position_ids"), [
    positionRows,
    hidden,
  ]);
  const segments =
    tokenTypes === null
      ? words
      : g.add(
          words,
          m.embedding(`${path}.token_type_embeddings`, ids("token_type_ids"), [tokenTypes, hidden]),
        );
  const normed = normOf(m, g.add(segments, places), {
    path: `${path}.LayerNorm`,
    size: hidden,
    epsilon,
  });
  return m.dropout(normed, { path, rate: shape.dropout.hidden, size: hidden });
}

function block(
  m: ModelBuilder,
  shape: EncoderShape,
  { layer, stream, stack }: { layer: number; stream: Value; stack: Stack },
): Value {
  const { g } = m;
  const { hidden, intermediate, epsilon, names, dropout } = shape;
  const path = `${shape.root}.${names.blocks}.${layer}`;
  const around = m.block(path, hidden);
  const x = around ? around.enter(stream) : stream;
  const attended = attention(m, shape, { layer, path, x, stack });
  const middle = normOf(m, g.add(attended, x), {
    path: `${path}.${names.afterAttention}`,
    size: hidden,
    epsilon,
  });
  const up = m.linears(middle, [linearOf(`${path}.${names.up}`, [hidden, intermediate])]);
  const active = g.scope(path, () => shape.activation(g, up));
  const down = m.linears(active, [linearOf(`${path}.${names.down}`, [intermediate, hidden])]);
  const left = m.dropout(down, { path, rate: dropout.hidden, size: hidden });
  const y = normOf(m, g.add(left, middle), {
    path: `${path}.${names.afterMlp}`,
    size: hidden,
    epsilon,
  });
  return around ? around.leave(y) : y;
}

function attention(
  m: ModelBuilder,
  { hidden, heads, names, takesPrefix, dropout }: EncoderShape,
  { layer, path, x, stack }: { layer: number; path: string; x: Value; stack: Stack },
): Value {
  const qkv = m.linears(
    x,
    [names.query, names.key, names.value].map((name) =>
      linearOf(`${path}.${name}`, [hidden, hidden]),
    ),
  );
  const size = { heads, headDim: hidden / heads };
  const prefix = takesPrefix ? (m.prefix(layer, qkv) ?? prefixInputs(m, layer, size)) : null;
  const at = { path: `${path}.attention`, ...size, mask: stack.mask, prefix };
  const mixed = mix(m, qkv, { ...at, dropout: dropout.attention });
  const output = m.linears(mixed, [linearOf(`${path}.${names.attended}`, [hidden, hidden])]);
  const { attended } = dropout;
  if (attended === null) return output;
  return m.dropout(output, { path: `${path}.${names.attended}`, rate: attended, size: hidden });
}

interface HeadSize {
  readonly heads: number;
  readonly headDim: number;
}

/** Keys and values before the sequence [batch, heads, prefix, dim]. */
function prefixInputs(
  { g }: ModelBuilder,
  layer: number,
  { heads, headDim }: HeadSize,
): { key: Value; value: Value } {
  const shape = ["batch", heads, "prefix", headDim];
  return {
    key: g.input(`prefix_key.${layer}`, "float32", shape),
    value: g.input(`prefix_value.${layer}`, "float32", shape),
  };
}

/** Attention of every token to every other: [query | key | value] rows → mixed rows. */
export function mix(
  m: ModelBuilder,
  qkv: Value,
  at: HeadSize & {
    path: string;
    mask: Value | null;
    prefix: { key: Value; value: Value } | null;
    /** Factor on scores; 1 / √headDim when absent. */
    scale?: number;
    dropout: DropoutRate;
  },
): Value {
  const { g } = m;
  const { path, heads, headDim, mask, prefix, scale = 1 / Math.sqrt(headDim) } = at;
  return g.scope(path, () => {
    // [batch, seq, 3 heads · dim] → [batch, 3 heads, seq, dim]
    const perHead = g.transpose(g.reshape(qkv, [0, 0, 3 * heads, headDim]), [0, 2, 1, 3]);
    const [query, ownKey, ownValue] = g.split(perHead, [heads, heads, heads], 1) as [
      Value,
      Value,
      Value,
    ];
    const key = prefix ? g.concat([prefix.key, ownKey], 2) : ownKey;
    const value = prefix ? g.concat([prefix.value, ownValue], 2) : ownValue;
    const scores = g.matMulTransposed(query, key, scale);
    const weights = g.softmax(mask === null ? scores : g.add(scores, mask));
    const kept = m.dropout(weights, { path, rate: at.dropout, size: null });
    const sum = g.matMul(kept, value);
    const mixed = m.attention(path, { query, mixed: sum, scale, keyValueHeads: heads, headDim });
    return g.reshape(g.transpose(mixed, [0, 2, 1, 3]), [0, 0, heads * headDim]);
  });
}

/** RoBERTa's embeddings declare positions last, and its relatives a head for spans first. */
function declaredLate(
  { checkpoint: { config } }: ModelBuilder,
  { positions, root }: EncoderShape,
  { task }: Head,
): string[] {
  if (positions.kind !== "afterPadding") return [];
  const isHeadFirst = task === "question-answering" && config.modelType !== "roberta";
  return ["position_embeddings", ...(isHeadFirst ? [root] : [])];
}
