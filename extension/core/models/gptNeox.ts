import { z } from "zod";
import { parseFields } from "../base/json.ts";
import { activationOf } from "./activations.ts";
import type { Value } from "../onnx/graph.ts";
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
import { rotaryTable } from "./rope.ts";

const size = z.int().positive();

const fields = z.looseObject({
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  intermediate_size: size,
  vocab_size: size,
  hidden_act: z.string().default("gelu"),
  layer_norm_eps: z.number().positive().default(1e-5),
  max_position_embeddings: size.default(2048),
  use_parallel_residual: z.boolean().default(true),
  attention_bias: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(false),
});

/** GPT-NeoX (Pythia): query, key and value fused by head, a part of each rotated, both halves of a block on its input. */
function build(m: ModelBuilder): CausalModel {
  const { config } = m.checkpoint;
  const c = parseFields(fields, config.raw, config.file);
  const { hidden_size: hidden, intermediate_size: inner, num_attention_heads: heads } = c;
  const headDim = hidden / heads;
  const { rotary_emb_base: rope_theta = 10_000, rotary_pct = 0.25 } = config.raw;
  // What stands beside rope_parameters counts by these old names alone.
  const raw = { ...config.raw, rope_theta, partial_rotary_factor: rotary_pct };
  const shape: ClassicShape = {
    hidden,
    vocabulary: c.vocab_size,
    contextLength: c.max_position_embeddings,
    epsilon: c.layer_norm_eps,
    heads,
    keyValueHeads: heads,
    headDim,
    windows: fullWindows(m, c.num_hidden_layers),
    rotary: rotaryTable({ ...config, raw }, { headDim, isPartial: true }),
  };
  const activation = activationOf(c.hidden_act, config);
  const mlp = plainMlp({ hidden, inner, hasBias: true, activation }, [
    "dense_h_to_4h",
    "dense_4h_to_h",
  ]);
  const norm = (path: string): ((x: Value) => Value) =>
    normed(m, { size: hidden, epsilon: shape.epsilon }, path);
  const rate = dropoutRate(0, "hidden_dropout");
  return buildClassic(m, shape, {
    late: ["attention", "mlp"],
    stack: "gpt_neox.layers",
    embed: (ids) => {
      const rows = m.embedding("gpt_neox.embed_in", ids, [c.vocab_size, hidden]);
      return m.dropout(rows, { path: "gpt_neox.emb_dropout", rate, size: hidden });
    },
    block: ({ layer, path, stream, inputs }) =>
      residualBlock(m, c.use_parallel_residual ? "parallel" : "serial", {
        stream,
        dropout: { path, rate, size: hidden },
        attentionNorm: norm(`${path}.input_layernorm`),
        mlpNorm: norm(`${path}.post_attention_layernorm`),
        attention: (x) => {
          const at = `${path}.attention`;
          const fused = linear(`${at}.query_key_value`, [hidden, 3 * hidden], c.attention_bias);
          const output = linear(`${at}.dense`, [hidden, hidden], c.attention_bias);
          const qkv = byRole(m, shape, m.linears(x, [fused]));
          return selfAttention(m, shape, { layer, path: at, qkv, output, inputs });
        },
        mlp: (x) => mlp(m, { layer, path: `${path}.mlp`, x }),
      }),
    finish: norm("gpt_neox.final_layer_norm"),
    head: headModule(shape, { tiedTo: c.tie_word_embeddings ? "gpt_neox.embed_in" : null }),
  });
}

export const gptNeox: Family = {
  modelType: "gpt_neox",
  architectures: { GPTNeoXForCausalLM: build },
  backbone: "gpt_neox",
  tokenHead: "classifier",
  tensorName: (name) => {
    if (/\.attention\.(?:bias|masked_bias|rotary_emb\.inv_freq)$/.test(name)) return null;
    return name.replace(/^embed_out\./, "lm_head.");
  },
};
