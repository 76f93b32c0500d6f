import { softCap } from "../onnx/calculus.ts";
import { quotient } from "../onnx/dimensions.ts";
import type { Value } from "../onnx/graph.ts";
import { declaredOrder } from "./declaredOrder.ts";
import { attend, type AttentionInputs, distinctMasks, outputNewRows } from "./attention.ts";
import type { AttentionMask, CausalModel } from "./causalModel.ts";
import { endDecoder } from "./decoderHeads.ts";
import { type DecoderShape, withLayers } from "./decoderShape.ts";
import { linear } from "./mlp.ts";
import type { ModelBuilder } from "./modelBuilder.ts";
import { addAndNorm, norm } from "./norms.ts";
import { normHeads, normWhole } from "./queryKeyNorms.ts";
import type { RotaryTable } from "./rope.ts";

/** Values that all layers share. */
interface DecoderInputs extends AttentionInputs {
  readonly positions: Value;
  readonly tables: ReadonlyMap<RotaryTable, { readonly cos: Value; readonly sin: Value }>;
}

interface BlockPlace {
  readonly layer: number;
  readonly stream: Value;
  /** What the last block adds to the stream; null where that is done. */
  readonly pending: Value | null;
  readonly inputs: DecoderInputs;
}

interface MadeBlock {
  readonly stream: Value;
  readonly pending: Value;
  readonly key: Value;
  readonly value: Value;
}

/** Builds the Llama pattern: blocks of attention and MLP, both added to the stream. */
export function buildDecoder(m: ModelBuilder, own: DecoderShape): CausalModel {
  const { g } = m;
  const shape = m.layers ? withLayers(own, m.layers) : own;
  const { hiddenSize: hidden, keyValueHeads, headDim, vocabulary, root } = shape;
  const ids = g.input("input_ids", "int64", ["batch", "seq"]);
  const masks = distinctMasks(shape);
  const rotary = distinctTables(shape);
  const inputs = declareInputs(m, shape, { masks, rotary });
  const [keys, values]: [Value[], Value[]] = [[], []];
  const rows = m.scaledEmbedding(`${root}.embed_tokens`, ids, {
    size: [vocabulary, hidden],
    scale: shape.embeddingScale ?? 1,
  });
  let stream = g.scale(rows, shape.embeddingFactor ?? 1);
  let pending: Value | null = null;
  for (let layer = 0; layer < shape.layers; layer++) {
    const around = m.block(`${root}.layers.${layer}`, hidden);
    if (around) {
      stream = around.enter(pending === null ? stream : g.add(stream, pending));
      pending = null;
    }
    const made: MadeBlock = block(m, shape, { layer, stream, pending, inputs });
    keys.push(made.key);
    values.push(made.value);
    ({ stream, pending } = made);
    if (around) {
      stream = around.leave(g.add(stream, pending));
      pending = null;
    }
  }
  const end = { stream, pending, path: `${root}.norm`, size: hidden };
  endDecoder(m, addAndNorm(m, shape.norm, end).normed, {
    hidden,
    languageHead: (rows) => languageModelHead(m, shape, rows),
  });
  outputNewRows(g, { keys, values, keyValueHeads, headDim });
  return {
    kind: "causal",
    graph: g.build(m.checkpoint.config.architecture),
    tree: declaredOrder(
      {
        modules: m.modules,
        outputEmbedding: "lm_head",
        ...(m.experts.length > 0 && { experts: m.experts }),
      },
      declaredLate,
    ),
    groups: m.groups,
    layers: shape.layers,
    keyValueHeads,
    queriesPerKey: shape.heads / keyValueHeads,
    headDim,
    vocabulary,
    contextLength: shape.contextLength,
    rotary,
    masks,
  };
}

/** One block: where its norms are and what reads what is the family's. */
function block(m: ModelBuilder, shape: DecoderShape, at: BlockPlace): MadeBlock {
  const { hiddenSize: size, blockNorms: names } = shape;
  const { layer, inputs } = at;
  const path = `${shape.root}.layers.${layer}`;
  const enter = (
    name: string | undefined,
    where: { stream: Value; pending: Value | null },
  ): { normed: Value; stream: Value } => {
    if (name) return addAndNorm(m, shape.norm, { ...where, path: `${path}.${name}`, size });
    const { stream, pending } = where;
    const sum = pending === null ? stream : m.g.add(stream, pending);
    return { normed: sum, stream: sum };
  };
  const leave = (name: string | undefined, x: Value): Value => {
    const normed = name ? norm(m, shape.norm, { path: `${path}.${name}`, x, size }) : x;
    return m.g.scale(normed, shape.residualFactor ?? 1);
  };
  const mlp = (x: Value): Value => {
    const source = m.layers?.[layer] ?? layer;
    return leave(names.afterMlp, shape.mlp(m, { layer: source, path: `${path}.mlp`, x }));
  };
  const before = enter(names.beforeAttention, at);
  const { output, key, value } = attention(m, shape, { layer, x: before.normed, inputs });
  const attended = leave(names.afterAttention, output);
  if (shape.isParallel) {
    const pending = m.g.add(attended, mlp(before.normed));
    return { stream: before.stream, pending, key, value };
  }
  const middle = enter(names.beforeMlp, { stream: before.stream, pending: attended });
  return { stream: middle.stream, pending: mlp(middle.normed), key, value };
}

function distinctTables({ rotary }: DecoderShape): RotaryTable[] {
  return [...new Set(rotary)].filter((table) => table !== null);
}

function declareInputs(
  { g }: ModelBuilder,
  { heads, keyValueHeads }: DecoderShape,
  { masks, rotary }: { masks: readonly AttentionMask[]; rotary: readonly RotaryTable[] },
): DecoderInputs {
  const queries = quotient([heads, "seq"], [keyValueHeads]) ?? "queries";
  const rows = (name: string, { suffix, size }: RotaryTable): Value =>
    g.input(`${name}${suffix}`, "float32", ["rope_rows", size / 2]);
  return {
    positions: g.input("position_ids", "int64", ["batch", "seq"]),
    tables: new Map(
      rotary.map((table) => [
        table,
        { cos: rows("rope_cos", table), sin: rows("rope_sin", table) },
      ]),
    ),
    kvSizes: g.input("kv_sizes", "int64", [2]),
    masks: new Map(
      masks.map(({ input, window }) => [
        window,
        g.input(input, "float32", ["batch", 1, queries, "past + seq"]),
      ]),
    ),
  };
}

/** Grouped-query attention over [past | new]; query heads that share a key are stacked as rows. */
function attention(
  m: ModelBuilder,
  shape: DecoderShape,
  { layer, x, inputs }: { layer: number; x: Value; inputs: DecoderInputs },
): { output: Value; key: Value; value: Value } {
  const { heads, headDim, hiddenSize } = shape;
  const path = `${shape.root}.layers.${layer}.self_attn`;
  const projected = projections(m, shape, { path, x });
  const qkv =
    shape.queryKeyNorm === "whole" ? normWhole(m, shape, { path, qkv: projected }) : projected;
  const turn = (at: string, queryKey: Value): Value => {
    const normed = normHeads(m, shape, { path: at, queryKey });
    return rotate(m, shape, { layer, x: normed, inputs });
  };
  const joined = attend(m, shape, { layer, path, qkv, inputs: { ...inputs, turn } });
  const outputModule = linear(`${path}.o_proj`, [heads * headDim, hiddenSize], shape.outputBias);
  return { output: m.linears(joined.mixed, [outputModule]), key: joined.key, value: joined.value };
}

/** Rows [query | key | value], [batch, seq, (heads + 2 kv) · dim]. */
function projections(
  m: ModelBuilder,
  { heads, keyValueHeads: kv, headDim, hiddenSize, queryBias, isFused }: DecoderShape,
  { path, x }: { path: string; x: Value },
): Value {
  const own = (name: string, count: number): ReturnType<typeof linear> =>
    linear(`${path}.${name}`, [hiddenSize, count * headDim], queryBias);
  if (isFused) return m.linears(x, [own("qkv_proj", heads + 2 * kv)]);
  return m.linears(x, [own("q_proj", heads), own("k_proj", kv), own("v_proj", kv)]);
}

/** Turns queries and keys [batch, heads + kv, seq, dim] by the layer's table. */
function rotate(
  { g }: ModelBuilder,
  { heads, keyValueHeads, headDim, rotary }: DecoderShape,
  { layer, x, inputs }: { layer: number; x: Value; inputs: DecoderInputs },
): Value {
  const table = rotary[layer];
  const rows = table && inputs.tables.get(table);
  if (!rows) return x;
  const { size } = table;
  const part = size === headDim ? undefined : { size, heads: heads + keyValueHeads };
  return g.rotary(x, inputs.positions, { ...rows, part });
}

/** Logits [batch, rows, vocab]; a tied head is the embedding table read the other way. */
function languageModelHead(m: ModelBuilder, shape: DecoderShape, rows: Value): Value {
  const { g } = m;
  const { hiddenSize, vocabulary, tiedEmbeddings, root } = shape;
  const weight = tiedEmbeddings ? `${root}.embed_tokens.weight` : "lm_head.weight";
  const head = { ...linear("lm_head", [hiddenSize, vocabulary], false), weight };
  const scaled = g.scale(m.linears(rows, [head]), shape.logitsFactor ?? 1);
  return shape.logitsCap === undefined ? scaled : softCap(g, scaled, shape.logitsCap);
}

/** What blocks of the Llama pattern declare behind all else: fused projections, norms, and what Granite calls its experts. */
const declaredLate = [
  "qkv_proj",
  "q_norm",
  "k_norm",
  "q_layernorm",
  "k_layernorm",
  "input_layernorm",
  "post_attention_layernorm",
  "pre_feedforward_layernorm",
  "post_feedforward_layernorm",
  "block_sparse_moe",
];
