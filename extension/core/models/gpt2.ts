import { t } from "@vscode/l10n";
import { z } from "zod";
import { unsupported } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { Value } from "../onnx/graph.ts";
import { type Activation, activationOf } from "./activations.ts";
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
import { linear } from "./mlp.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

const size = z.int().positive();

const fields = z.looseObject({
  n_embd: size,
  n_layer: size,
  n_head: size,
  n_inner: size.nullish(),
  n_positions: size.default(1024),
  vocab_size: size,
  layer_norm_epsilon: z.number().positive().default(1e-5),
  activation_function: z.string().default("gelu_new"),
  tie_word_embeddings: z.boolean().default(true),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.boolean().default(false),
});

/** Names that transformers takes for its own (GPT2Config.attribute_map). */
const otherNames = {
  hidden_size: "n_embd",
  max_position_embeddings: "n_positions",
  num_attention_heads: "n_head",
  num_hidden_layers: "n_layer",
};

interface Gpt2Shape extends ClassicShape {
  readonly inner: number;
  readonly activation: Activation;
}

type Fields = z.infer<typeof fields>;

function readFields({ raw, file }: ModelConfig): Fields {
  const renamed = Object.entries(otherNames).map(([other, own]) => [own, raw[own] ?? raw[other]]);
  const c = parseFields(fields, { ...raw, ...Object.fromEntries(renamed) }, file);
  if (!c.add_cross_attention) return c;
  throw unsupported(t('{0}: Graft does not run GPT-2 with "add_cross_attention"', file));
}

function shapeOf(m: ModelBuilder, config: ModelConfig, c: Fields): Gpt2Shape {
  const headDim = c.n_embd / c.n_head;
  const windows = fullWindows(m, c.n_layer);
  const scale = c.scale_attn_weights ? 1 / Math.sqrt(headDim) : 1;
  return {
    hidden: c.n_embd,
    inner: c.n_inner ?? 4 * c.n_embd,
    activation: activationOf(c.activation_function, config),
    vocabulary: c.vocab_size,
    contextLength: c.n_positions,
    epsilon: c.layer_norm_epsilon,
    heads: c.n_head,
    keyValueHeads: c.n_head,
    headDim,
    windows,
    scales: windows.map((_, i) => (c.scale_attn_by_inverse_layer_idx ? scale / (i + 1) : scale)),
    rotary: null,
    dropout: dropoutRate(0.1, "attn_pdrop"),
  };
}

/** Builds GPT-2: learned positions, pre-norm attention and MLP with biases, weights stored [in, out]. */
function build(m: ModelBuilder): CausalModel {
  const { config } = m.checkpoint;
  const c = readFields(config);
  const shape = shapeOf(m, config, c);
  const { hidden, epsilon } = shape;
  return buildClassic(m, shape, {
    stack: "transformer.h",
    embed: (ids, positions) => {
      const words = m.embedding("transformer.wte", ids, [c.vocab_size, hidden]);
      const places = m.embedding("transformer.wpe", positions, [c.n_positions, hidden]);
      const rate = dropoutRate(0.1, "embd_pdrop");
      return m.dropout(m.g.add(words, places), { path: "transformer.drop", rate, size: hidden });
    },
    block: (at) => block(m, shape, at),
    finish: normed(m, { size: hidden, epsilon }, "transformer.ln_f"),
    head: headModule(shape, { tiedTo: c.tie_word_embeddings ? "transformer.wte" : null }),
  });
}

function block(
  m: ModelBuilder,
  shape: Gpt2Shape,
  { layer, path, stream, inputs }: ClassicBlock,
): BlockResult {
  const { hidden, inner, epsilon, activation } = shape;
  const norm = (name: string): ((x: Value) => Value) =>
    normed(m, { size: hidden, epsilon }, `${path}.${name}`);
  return residualBlock(m, "serial", {
    stream,
    dropout: { path, rate: dropoutRate(0.1, "resid_pdrop"), size: hidden },
    attentionNorm: norm("ln_1"),
    mlpNorm: norm("ln_2"),
    attention: (x) => {
      const at = `${path}.attn`;
      const qkv = m.linears(x, [conv1d(`${at}.c_attn`, [hidden, 3 * hidden])]);
      const output = conv1d(`${at}.c_proj`, [hidden, hidden]);
      return selfAttention(m, shape, { layer, path: at, qkv, output, inputs });
    },
    mlp: (x) => {
      const at = `${path}.mlp`;
      const opened = m.linears(x, [conv1d(`${at}.c_fc`, [hidden, inner])]);
      const active = m.g.scope(at, () => activation(m.g, opened));
      return m.linears(active, [conv1d(`${at}.c_proj`, [inner, hidden])]);
    },
  });
}

/** transformers' Conv1D: a linear layer whose weight is stored [in, out]. */
function conv1d(path: string, features: [number, number]): LinearModule {
  return { ...linear(path, features, true), isTransposed: true };
}

export const gpt2: Family = {
  modelType: "gpt2",
  architectures: { GPT2LMHeadModel: build },
  backbone: "transformer",
  tokenHead: "classifier",
  tensorName: (name) => (/(?:^|\.)attn\.(?:bias|masked_bias)$/.test(name) ? null : name),
};
