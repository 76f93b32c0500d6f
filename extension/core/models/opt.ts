import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { Value } from "../onnx/graph.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { activationOf } from "./activations.ts";
import type { CausalModel } from "./causalModel.ts";
import {
  type BlockResult,
  buildClassic,
  type ClassicBlock,
  type ClassicShape,
  fullWindows,
  headModule,
  normed,
  residualBlock,
  selfAttention,
} from "./classicBlocks.ts";
import { dropoutRate } from "./dropout.ts";
import type { Family } from "./family.ts";
import { linear, type Mlp, plainMlp } from "./mlp.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

const size = z.int().positive();

const fields = z.looseObject({
  hidden_size: size,
  ffn_dim: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  vocab_size: size,
  word_embed_proj_dim: size.nullish(),
  max_position_embeddings: size.default(2048),
  activation_function: z.string().default("relu"),
  do_layer_norm_before: z.boolean().default(true),
  _remove_final_layer_norm: z.boolean().default(false),
  enable_bias: z.boolean().default(true),
  layer_norm_elementwise_affine: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(true),
});

type Fields = z.infer<typeof fields>;

interface OptShape extends ClassicShape {
  readonly config: Fields;
  readonly mlp: Mlp;
}

/** The first two rows of the table of positions are for no token. */
const firstRow = 2;

function shapeOf(m: ModelBuilder, config: ModelConfig): OptShape {
  const c = parseFields(fields, config.raw, config.file);
  return {
    config: c,
    mlp: plainMlp(
      {
        hidden: c.hidden_size,
        inner: c.ffn_dim,
        hasBias: c.enable_bias,
        activation: activationOf(c.activation_function, config),
      },
      ["fc1", "fc2"],
    ),
    hidden: c.hidden_size,
    vocabulary: c.vocab_size,
    contextLength: c.max_position_embeddings,
    epsilon: 1e-5,
    heads: c.num_attention_heads,
    keyValueHeads: c.num_attention_heads,
    headDim: c.hidden_size / c.num_attention_heads,
    windows: fullWindows(m, c.num_hidden_layers),
    rotary: null,
  };
}

/** OPT: learned positions, norms before or (350m) behind attention and MLP, embeddings of another width. */
function build(m: ModelBuilder): CausalModel {
  const { config } = m.checkpoint;
  const shape = shapeOf(m, config);
  const { config: c, hidden } = shape;
  const width = c.word_embed_proj_dim ?? hidden;
  const decoder = "model.decoder";
  const project = (name: string, [from, to]: [number, number], x: Value): Value =>
    from === to ? x : m.linears(x, [linear(`${decoder}.${name}`, [from, to], false)]);
  const hasLastNorm = c.do_layer_norm_before && !c._remove_final_layer_norm;
  return buildClassic(m, shape, {
    stack: `${decoder}.layers`,
    embed: (ids, positions) => {
      const rows = m.embedding(`${decoder}.embed_tokens`, ids, [c.vocab_size, width]);
      const places = m.scaledEmbedding(`${decoder}.embed_positions`, positions, {
        size: [c.max_position_embeddings + firstRow, hidden],
        firstRow,
      });
      return m.g.add(project("project_in", [width, hidden], rows), places);
    },
    block: (at) => block(m, shape, at),
    finish: (stream) => {
      const last = hasLastNorm ? norm(m, shape, `${decoder}.final_layer_norm`)(stream) : stream;
      return project("project_out", [hidden, width], last);
    },
    head: headModule(
      { hidden: width, vocabulary: c.vocab_size },
      { tiedTo: c.tie_word_embeddings ? `${decoder}.embed_tokens` : null },
    ),
    skipsPadding: true,
    inOrder: (modules) => modules.toSorted((a, b) => placeOf(a.path) - placeOf(b.path)),
  });
}

/** Modules as OPTDecoder and OPTDecoderLayer declare them. */
const declared = [
  ["embed_tokens", "embed_positions", "project_out", "project_in", "final_layer_norm"],
  [
    "k_proj",
    "v_proj",
    "q_proj",
    "out_proj",
    "self_attn_layer_norm",
    "fc1",
    "fc2",
    "final_layer_norm",
  ],
] as const;

function placeOf(path: string): number {
  const name = path.slice(path.lastIndexOf(".") + 1);
  const layer = /\.layers\.(\d+)\./.exec(path)?.[1];
  if (layer === undefined && name === "lm_head") return Infinity;
  const names: readonly string[] = layer === undefined ? declared[0] : declared[1];
  return (layer === undefined ? 0 : 1 + Number(layer)) * 10 + names.indexOf(name);
}

function block(
  m: ModelBuilder,
  shape: OptShape,
  { layer, path, stream, inputs }: ClassicBlock,
): BlockResult {
  const { config: c, hidden, mlp } = shape;
  const own = (name: string): LinearModule =>
    linear(`${path}.self_attn.${name}`, [hidden, hidden], c.enable_bias);
  const at = `${path}.self_attn`;
  return residualBlock(m, c.do_layer_norm_before ? "serial" : "postNorm", {
    stream,
    dropout: { path, rate: dropoutRate(0.1, "dropout"), size: hidden },
    attentionNorm: norm(m, shape, `${path}.self_attn_layer_norm`),
    mlpNorm: norm(m, shape, `${path}.final_layer_norm`),
    attention: (x) => {
      const qkv = m.linears(x, [own("q_proj"), own("k_proj"), own("v_proj")]);
      const output = own("out_proj");
      return selfAttention(m, shape, { layer, path: at, qkv, output, inputs });
    },
    mlp: (x) => mlp(m, { layer, path, x }),
  });
}

function norm(m: ModelBuilder, shape: OptShape, path: string): (x: Value) => Value {
  const { hidden: size, epsilon, config } = shape;
  return normed(m, { size, epsilon, isAffine: config.layer_norm_elementwise_affine }, path);
}

export const opt: Family = {
  modelType: "opt",
  architectures: { OPTForCausalLM: build },
};
