import { t } from "@vscode/l10n";
import { z } from "zod";
import { unsupported } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { Value } from "../onnx/graph.ts";
import { activationOf } from "./activations.ts";
import { withAlibi } from "./alibi.ts";
import type { CausalModel } from "./causalModel.ts";
import {
  type BlockResult,
  buildClassic,
  byRole,
  type ClassicBlock,
  type ClassicShape,
  fullWindows,
  headModule,
  normed,
  residualBlock,
  selfAttention,
} from "./classicBlocks.ts";
import type { Family } from "./family.ts";
import { linear, type Mlp, plainMlp } from "./mlp.ts";
import type { ModelBuilder } from "./modelBuilder.ts";
import { rotaryTable } from "./rope.ts";

const size = z.int().positive();

const fields = z.looseObject({
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_kv_heads: size.nullish(),
  vocab_size: size,
  ffn_hidden_size: size.nullish(),
  activation: z.string().default("gelu"),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  max_position_embeddings: size.default(2048),
  alibi: z.boolean().default(false),
  bias: z.boolean().default(false),
  multi_query: z.boolean().default(true),
  new_decoder_architecture: z.boolean().default(false),
  num_ln_in_parallel_attn: z.int().nullish(),
  parallel_attn: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(true),
});

/** Norms of a block: one for both halves, one each side by side, or one before each half. */
type Norms = "shared" | "two" | "serial";

interface FalconShape extends ClassicShape {
  readonly norms: Norms;
  readonly hasBias: boolean;
  readonly mlp: Mlp;
}

/** Falcon: queries that share one key (7B) or one a group (40B, 180B, 11B), rotated or with ALiBi (RW). */
function build(m: ModelBuilder): CausalModel {
  const { config } = m.checkpoint;
  const c = parseFields(fields, config.raw, config.file);
  const { hidden_size: hidden, num_attention_heads: heads } = c;
  const headDim = hidden / heads;
  const shape: FalconShape = {
    hidden,
    vocabulary: c.vocab_size,
    contextLength: c.max_position_embeddings,
    epsilon: c.layer_norm_epsilon,
    heads,
    keyValueHeads: keyValueHeads(c),
    headDim,
    windows: fullWindows(m, c.num_hidden_layers),
    rotary: c.alibi ? null : rotaryTable(config, { headDim }),
    norms: normsOf(config, c),
    hasBias: c.bias,
    mlp: plainMlp(
      {
        hidden,
        inner: c.ffn_hidden_size ?? 4 * hidden,
        hasBias: c.bias,
        activation: activationOf(c.activation, config),
      },
      ["dense_h_to_4h", "dense_4h_to_h"],
    ),
  };
  const table = "transformer.word_embeddings";
  return buildClassic(m, shape, {
    late: ["post_attention_layernorm", "input_layernorm", "ln_attn", "ln_mlp"],
    stack: "transformer.h",
    embed: (ids) => m.embedding(table, ids, [c.vocab_size, hidden]),
    // transformers' sdpa attention, its default; its eager one adds the bias twice.
    ...(c.alibi && {
      biasedMask: (mask: Value) =>
        withAlibi(m, shape, mask, { roundsToBf16: true, scale: 1 / Math.sqrt(headDim) }),
    }),
    block: (at) => block(m, shape, at),
    finish: normed(m, { size: hidden, epsilon: shape.epsilon }, "transformer.ln_f"),
    head: headModule(shape, { tiedTo: c.tie_word_embeddings ? table : null }),
  });
}

function keyValueHeads(c: z.infer<typeof fields>): number {
  if (c.new_decoder_architecture) return c.num_kv_heads ?? c.num_attention_heads;
  return c.multi_query ? 1 : c.num_attention_heads;
}

function normsOf({ file }: ModelConfig, c: z.infer<typeof fields>): Norms {
  const isNew = c.new_decoder_architecture;
  const count = c.num_ln_in_parallel_attn ?? (isNew ? 2 : 1);
  if (!c.parallel_attn && !isNew) return "serial";
  if (c.parallel_attn && isNew && count === 2) return "two";
  if (c.parallel_attn && count === 1) return "shared";
  throw unsupported(
    t(
      "{0}: no Falcon has parallel_attn {1} and num_ln_in_parallel_attn {2} with new_decoder_architecture {3}; transformers does not run it either",
      file,
      c.parallel_attn,
      count,
      isNew,
    ),
  );
}

function block(
  m: ModelBuilder,
  shape: FalconShape,
  { layer, path, stream, inputs }: ClassicBlock,
): BlockResult {
  const { hidden, epsilon, norms, hasBias, mlp, heads, headDim } = shape;
  const norm = (name: string): ((x: Value) => Value) =>
    normed(m, { size: hidden, epsilon }, `${path}.${name}`);
  return residualBlock(m, norms === "serial" ? "serial" : "parallel", {
    stream,
    attentionNorm: norm(norms === "two" ? "ln_attn" : "input_layernorm"),
    mlpNorm:
      norms === "shared" ? null : norm(norms === "two" ? "ln_mlp" : "post_attention_layernorm"),
    attention: (x) => {
      const at = `${path}.self_attention`;
      const width = (heads + 2 * shape.keyValueHeads) * headDim;
      const fused = linear(`${at}.query_key_value`, [hidden, width], hasBias);
      const output = linear(`${at}.dense`, [hidden, hidden], hasBias);
      const qkv = byRole(m, shape, m.linears(x, [fused]));
      return selfAttention(m, shape, { layer, path: at, qkv, output, inputs });
    },
    mlp: (x) => mlp(m, { layer, path: `${path}.mlp`, x }),
  });
}

export const falcon: Family = {
  modelType: "falcon",
  architectures: { FalconForCausalLM: build },
  backbone: "transformer",
  tokenHead: "classifier",
};
