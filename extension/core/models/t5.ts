import { t } from "@vscode/l10n";
import { z } from "zod";
import { unsupported } from "../base/errors.ts";
import { type JsonObject, parseFields } from "../base/json.ts";
import { activationOf } from "./activations.ts";
import type { Family } from "./family.ts";
import type { ModelStack } from "./model.ts";
import type { ModelBuilder } from "./modelBuilder.ts";
import type { Seq2SeqModel } from "./seq2seqModel.ts";
import { buildDecoder, buildEncoder, inOrder, type Shape, table } from "./t5Stacks.ts";

const size = z.int().positive();

const fields = z.looseObject({
  vocab_size: size,
  d_model: size.default(512),
  d_kv: size.default(64),
  d_ff: size,
  num_layers: size,
  num_decoder_layers: size.nullish(),
  num_heads: size,
  relative_attention_num_buckets: z.int().min(4).default(32),
  relative_attention_max_distance: size.default(128),
  layer_norm_epsilon: z.number().positive().default(1e-6),
  feed_forward_proj: z.string(),
  tie_word_embeddings: z.boolean().nullish(),
  scale_decoder_outputs: z.boolean().nullish(),
  decoder_start_token_id: z.int().nonnegative().nullish(),
  pad_token_id: z.int().nonnegative().nullish(),
});

/** Relative positions have no end; what ends is memory, of which attention takes the square. */
const contextLength = 4096;

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

/** What differs between T5 and its relatives. */
interface Variant {
  /** Fields that config.json leaves out (T5Config, MT5Config). */
  readonly defaults: JsonObject;
  /** Is what the head reads multiplied by 1 / √d_model? */
  isScaled(c: Config): boolean;
  /** Is a head in the file a copy of the table? */
  repeatsTable(c: Config): boolean;
}

function build(m: ModelBuilder, { defaults, isScaled, repeatsTable }: Variant): Seq2SeqModel {
  const { config } = m.checkpoint;
  if (m.layers) {
    throw unsupported(
      t("{0}: layers of a model with encoder and decoder cannot be repeated", config.file),
    );
  }
  const c = parseFields(fields, { ...defaults, ...config.raw }, config.file);
  const shape = shapeOf(c, config.file);
  const layers = c.num_decoder_layers ?? c.num_layers;
  const d = m.beside();
  const encoder = buildEncoder(m, shape, { layers: c.num_layers, decoderLayers: layers });
  const decoder = buildDecoder(d, shape, {
    layers,
    scale: isScaled(c) ? shape.hidden ** -0.5 : 1,
    head: repeatsTable(c) || !m.hasWeight("lm_head.weight") ? { weight: table } : {},
  });
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

/** Files of the first versions have a table that nothing reads. */
function tensorName(name: string): string | null {
  return /EncDecAttention\.relative_attention_bias/.test(name) ? null : name;
}

const twins = { [table]: ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] };

const original: Variant = {
  defaults: {
    vocab_size: 32128,
    d_ff: 2048,
    num_layers: 6,
    num_heads: 8,
    feed_forward_proj: "relu",
  },
  isScaled: (c) => c.scale_decoder_outputs ?? c.tie_word_embeddings !== false,
  // transformers 5, which writes how outputs are scaled, writes no copy.
  repeatsTable: (c) => c.scale_decoder_outputs === undefined && c.tie_word_embeddings !== false,
};

const multilingual: Variant = {
  defaults: {
    ...{ vocab_size: 250112, d_ff: 1024, num_layers: 8, num_heads: 6 },
    feed_forward_proj: "gated-gelu",
  },
  isScaled: () => false,
  repeatsTable: () => false,
};

export const t5: Family = {
  modelType: "t5",
  backbone: "",
  architectures: {
    T5ForConditionalGeneration: (m) => build(m, original),
    // As transformers 2 wrote it.
    T5WithLMHeadModel: (m) => build(m, original),
  },
  tensorName,
  twins,
};

export const mt5: Family = {
  modelType: "mt5",
  backbone: "",
  architectures: { MT5ForConditionalGeneration: (m) => build(m, multilingual) },
  tensorName,
  twins,
};
