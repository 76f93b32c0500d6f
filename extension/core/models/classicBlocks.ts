/**
 * Decoders of the pattern before Llama: LayerNorms and layers with biases, a plain MLP, places told by
 * a learned table, by rotation or by ALiBi.
 */
import type { ModuleInfo } from "../checkpoint/modules.ts";
import { quotient } from "../onnx/dimensions.ts";
import type { Value } from "../onnx/graph.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { declaredOrder } from "./declaredOrder.ts";
import { attend, type AttentionInputs, type AttentionShape, outputNewRows } from "./attention.ts";
import type { DropoutRate } from "./dropout.ts";
import { attentionMask, type CausalModel } from "./causalModel.ts";
import { endDecoder } from "./decoderHeads.ts";
import { linear } from "./mlp.ts";
import type { ModelBuilder } from "./modelBuilder.ts";
import type { RotaryTable } from "./rope.ts";

/** What such decoders have in common, as numbers. */
export interface ClassicShape extends AttentionShape {
  readonly hidden: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly epsilon: number;
  /** What queries and keys turn by; null where places are told otherwise. */
  readonly rotary: RotaryTable | null;
}

/** Values that all layers share. */
export interface ClassicInputs extends AttentionInputs {
  /** [batch, seq] */
  readonly positions: Value;
}

/** A block that is to be built, and the stream before it. */
export interface ClassicBlock {
  readonly layer: number;
  readonly path: string;
  readonly stream: Value;
  readonly inputs: ClassicInputs;
}

/** What a block has made of the stream. */
export interface BlockResult {
  readonly stream: Value;
  readonly key: Value;
  readonly value: Value;
}

/** A family's own parts. */
export interface ClassicParts {
  /** Path of the blocks: "transformer.h". */
  readonly stack: string;
  /** Tokens [batch, seq] as the stream [batch, seq, hidden]. */
  embed(ids: Value, positions: Value): Value;
  /** Adds each head's bias of its keys to the mask. */
  readonly biasedMask?: (mask: Value) => Value;
  block(at: ClassicBlock): BlockResult;
  /** The stream as the head reads it. */
  finish(stream: Value): Value;
  readonly head: LinearModule;
  readonly skipsPadding?: boolean;
  /** Modules in PyTorch's order, where that is not the order of computation. */
  inOrder?(modules: readonly ModuleInfo[]): readonly ModuleInfo[];
  /** Names that a module declares behind all others. */
  readonly late?: readonly string[];
}

/** Builds the graph around a family's parts: inputs, the stack of blocks, the head, outputs. */
export function buildClassic(
  m: ModelBuilder,
  shape: ClassicShape,
  parts: ClassicParts,
): CausalModel {
  const { g } = m;
  const ids = g.input("input_ids", "int64", ["batch", "seq"]);
  const inputs = declareInputs(m, shape, parts);
  let stream = parts.embed(ids, inputs.positions);
  const [keys, values]: [Value[], Value[]] = [[], []];
  const layers = shape.windows.length;
  for (let layer = 0; layer < layers; layer++) {
    const path = `${parts.stack}.${layer}`;
    const around = m.block(path, shape.hidden);
    if (around) stream = around.enter(stream);
    const made = parts.block({ layer, path, stream, inputs });
    keys.push(made.key);
    values.push(made.value);
    stream = around ? around.leave(made.stream) : made.stream;
  }
  endDecoder(m, parts.finish(stream), {
    hidden: parts.head.in,
    languageHead: (rows) => m.linears(rows, [parts.head]),
  });
  const { keyValueHeads, headDim } = shape;
  outputNewRows(g, { keys, values, keyValueHeads, headDim });
  return {
    kind: "causal",
    graph: g.build(m.checkpoint.config.architecture),
    tree: declaredOrder(
      {
        modules: parts.inOrder ? parts.inOrder(m.modules) : m.modules,
        outputEmbedding: parts.head.path,
      },
      parts.late ?? [],
    ),
    groups: m.groups,
    layers,
    keyValueHeads,
    queriesPerKey: shape.heads / keyValueHeads,
    headDim,
    vocabulary: shape.vocabulary,
    contextLength: shape.contextLength,
    rotary: shape.rotary ? [shape.rotary] : [],
    masks: [attentionMask(null)],
    hasKeyPositions: parts.biasedMask !== undefined,
    skipsPadding: parts.skipsPadding === true,
  };
}

function declareInputs(
  m: ModelBuilder,
  shape: ClassicShape,
  { biasedMask = (mask) => mask }: ClassicParts,
): ClassicInputs {
  const { g } = m;
  const positions = g.input("position_ids", "int64", ["batch", "seq"]);
  const turn = rotation(m, shape, positions);
  const queries = quotient([shape.heads, "seq"], [shape.keyValueHeads]) ?? "queries";
  const mask = g.input("mask", "float32", ["batch", 1, queries, "past + seq"]);
  const kvSizes = g.input("kv_sizes", "int64", [2]);
  return { positions, kvSizes, masks: new Map([[null, biasedMask(mask)]]), ...(turn && { turn }) };
}

function rotation(
  { g }: ModelBuilder,
  { heads, keyValueHeads, headDim, rotary }: ClassicShape,
  positions: Value,
): AttentionInputs["turn"] {
  if (!rotary) return undefined;
  const { size } = rotary;
  const rows = ["rope_rows", size / 2];
  const cos = g.input("rope_cos", "float32", rows);
  const sin = g.input("rope_sin", "float32", rows);
  const part = size === headDim ? undefined : { size, heads: heads + keyValueHeads };
  return (_path, queryKey) => g.rotary(queryKey, positions, { cos, sin, part });
}

/**
 * How a block's halves meet the stream. "serial": the MLP reads what attention has added to.
 * "parallel": both read the block's input. "postNorm": serial, with the norm behind each sum.
 */
export type Residual = "serial" | "parallel" | "postNorm";

/** A block's functions. */
export interface BlockParts {
  readonly stream: Value;
  /** What is dropped out of each half in training, with the block's path; nothing when absent. */
  readonly dropout?: { readonly path: string; readonly rate: DropoutRate; readonly size: number };
  /** True where halves add to the norm's output in place of its input (BLOOM's option). */
  readonly addsToNormed?: boolean;
  attentionNorm(x: Value): Value;
  /** null where one norm serves both halves. */
  readonly mlpNorm: ((x: Value) => Value) | null;
  attention(x: Value): { output: Value; key: Value; value: Value };
  mlp(x: Value): Value;
}

/** One block of the stack on the stream. */
export function residualBlock(m: ModelBuilder, kind: Residual, at: BlockParts): BlockResult {
  const { g } = m;
  const { stream, attentionNorm, addsToNormed = false } = at;
  const mlpNorm = at.mlpNorm ?? ((x: Value) => x);
  const left = (half: string, x: Value): Value =>
    at.dropout ? m.dropout(x, { ...at.dropout, path: `${at.dropout.path}.${half}` }) : x;
  const attention = (x: Value): ReturnType<BlockParts["attention"]> => {
    const own = at.attention(x);
    return { ...own, output: left("attention", own.output) };
  };
  const mlp = (x: Value): Value => left("mlp", at.mlp(x));
  if (kind === "postNorm") {
    const { output, ...kv } = attention(stream);
    const middle = attentionNorm(g.add(stream, output));
    return { stream: mlpNorm(g.add(middle, mlp(middle))), ...kv };
  }
  const x = attentionNorm(stream);
  const { output, ...kv } = attention(x);
  if (kind === "parallel") {
    const closed = mlp(at.mlpNorm ? mlpNorm(stream) : x);
    return { stream: g.add(g.add(closed, output), stream), ...kv };
  }
  const middle = g.add(addsToNormed ? x : stream, output);
  const y = mlpNorm(middle);
  return { stream: g.add(addsToNormed ? y : middle, mlp(y)), ...kv };
}

/** A LayerNorm over the last axis, with weight and bias unless it is not affine. */
export function normed(
  m: ModelBuilder,
  { size, epsilon, isAffine = true }: { size: number; epsilon: number; isAffine?: boolean },
  path: string,
): (x: Value) => Value {
  const { g } = m;
  return (x) => {
    const own = isAffine ? m.biasedNorm(path, size) : plainNorm(m, size);
    return g.scope(path, () => g.layerNorm(x, { ...own, epsilon }));
  };
}

function plainNorm({ g }: ModelBuilder, size: number): { weight: Value; bias: Value } {
  return {
    weight: g.float32s(`const.float32.ones.${size}`, new Float32Array(size).fill(1), [size]),
    bias: g.float32s(`const.float32.zeros.${size}`, new Float32Array(size), [size]),
  };
}

/** Attention of a layer's normed stream between its projections. */
export function selfAttention(
  m: ModelBuilder,
  shape: ClassicShape,
  at: {
    layer: number;
    path: string;
    /** [query | key | value] rows [batch, seq, (heads + 2 kv) · dim] */
    qkv: Value;
    output: LinearModule;
    inputs: AttentionInputs;
  },
): { output: Value; key: Value; value: Value } {
  const { mixed, key, value } = attend(m, shape, at);
  return { output: m.linears(mixed, [at.output]), key, value };
}

/**
 * A fused projection's rows, in which every key head has its query heads, its key and its value side
 * by side, as [all queries | all keys | all values]. [batch, seq, (heads + 2 kv) · dim]
 */
export function byRole(
  { g }: ModelBuilder,
  { heads, keyValueHeads: kv, headDim }: AttentionShape,
  fused: Value,
): Value {
  if (kv === 1) return fused;
  const perKey = heads / kv;
  const grouped = g.reshape(fused, [0, 0, kv, perKey + 2, headDim]);
  const roles = g.split(grouped, [perKey, 1, 1], 3);
  return g.concat(
    roles.map((role) => g.reshape(role, [0, 0, -1])),
    -1,
  );
}

/** A head, which reads the embedding's table where it is tied. */
export function headModule(
  { hidden, vocabulary }: { hidden: number; vocabulary: number },
  at: { tiedTo: string | null; hasBias?: boolean },
): LinearModule {
  const own = linear("lm_head", [hidden, vocabulary], at.hasBias ?? false);
  return at.tiedTo === null ? own : { ...own, weight: `${at.tiedTo}.weight` };
}

/** Layers of the model: those of the checkpoint, or of another order; all see the whole sequence. */
export function fullWindows(m: ModelBuilder, layers: number): null[] {
  return Array.from({ length: m.layers?.length ?? layers }, () => null);
}
