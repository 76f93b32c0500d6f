import { t } from "@vscode/l10n";
import { z } from "zod";
import { unsupported } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { Value } from "../onnx/graph.ts";
import { activationOf } from "./activations.ts";
import { withAlibi } from "./alibi.ts";
import type { CausalModel } from "./causalModel.ts";
import {
  buildClassic,
  byRole,
  type ClassicShape,
  fullWindows,
  headModule,
  normed,
  residualBlock,
  selfAttention,
} from "./classicBlocks.ts";
import { dropoutRate } from "./dropout.ts";
import type { Family } from "./family.ts";
import { linear, plainMlp } from "./mlp.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

const size = z.int().positive();

const fields = z.looseObject({
  hidden_size: size.optional(),
  n_embed: size.nullish(),
  n_layer: size.optional(),
  num_hidden_layers: size.optional(),
  n_head: size.optional(),
  num_attention_heads: size.optional(),
  vocab_size: size,
  seq_length: size.default(2048),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  apply_residual_connection_post_layernorm: z.boolean().default(false),
  pretraining_tp: z.int().default(1),
  slow_but_exact: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
});

/** BLOOM: a norm behind the embeddings, ALiBi, query, key and value fused by head. */
function build(m: ModelBuilder): CausalModel {
  const { config } = m.checkpoint;
  const c = parseFields(fields, config.raw, config.file);
  if (c.slow_but_exact && c.pretraining_tp > 1) {
    throw unsupported(
      t(
        '{0}: Graft does not run "slow_but_exact", which leaves out biases and adapters',
        config.file,
      ),
      t("Set it to false."),
    );
  }
  // transformers' own defaults are a toy's; its attribute_map takes both spellings.
  const hidden = c.n_embed ?? c.hidden_size ?? 64;
  const heads = c.n_head ?? c.num_attention_heads ?? 8;
  const shape: ClassicShape = {
    hidden,
    vocabulary: c.vocab_size,
    contextLength: c.seq_length,
    epsilon: c.layer_norm_epsilon,
    heads,
    keyValueHeads: heads,
    headDim: hidden / heads,
    windows: fullWindows(m, c.n_layer ?? c.num_hidden_layers ?? 2),
    rotary: null,
  };
  const norm = (path: string): ((x: Value) => Value) =>
    normed(m, { size: hidden, epsilon: shape.epsilon }, path);
  const activation = activationOf("gelu_fast", config);
  const mlp = plainMlp({ hidden, inner: 4 * hidden, hasBias: true, activation }, [
    "dense_h_to_4h",
    "dense_4h_to_h",
  ]);
  const table = "transformer.word_embeddings";
  return buildClassic(m, shape, {
    stack: "transformer.h",
    embed: (ids) => norm(`${table}_layernorm`)(m.embedding(table, ids, [c.vocab_size, hidden])),
    biasedMask: (mask) => withAlibi(m, shape, mask),
    block: ({ layer, path, stream, inputs }) =>
      residualBlock(m, "serial", {
        stream,
        dropout: { path, rate: dropoutRate(0, "hidden_dropout"), size: hidden },
        addsToNormed: c.apply_residual_connection_post_layernorm,
        attentionNorm: norm(`${path}.input_layernorm`),
        mlpNorm: norm(`${path}.post_attention_layernorm`),
        attention: (x) => {
          const at = `${path}.self_attention`;
          const fused = linear(`${at}.query_key_value`, [hidden, 3 * hidden], true);
          const output = linear(`${at}.dense`, [hidden, hidden], true);
          const qkv = byRole(m, shape, m.linears(x, [fused]));
          return selfAttention(m, shape, { layer, path: at, qkv, output, inputs });
        },
        mlp: (x) => mlp(m, { layer, path: `${path}.mlp`, x }),
      }),
    finish: norm("transformer.ln_f"),
    head: headModule(shape, { tiedTo: c.tie_word_embeddings ? table : null }),
  });
}

export const bloom: Family = {
  modelType: "bloom",
  architectures: { BloomForCausalLM: build },
  backbone: "transformer",
  tokenHead: "classifier",
};
