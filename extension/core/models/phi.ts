import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { Value } from "../onnx/graph.ts";
import { activationOf } from "./activations.ts";
import type { AttentionInputs } from "./attention.ts";
import type { CausalModel } from "./causalModel.ts";
import {
  buildClassic,
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
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  vocab_size: size,
  hidden_act: z.string().default("gelu_new"),
  layer_norm_eps: z.number().positive().default(1e-5),
  max_position_embeddings: size.default(2048),
  qk_layernorm: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
});

/** Phi 1, 1.5 and 2: one norm before attention and MLP side by side, biases everywhere, also on the head. */
function build(m: ModelBuilder): CausalModel {
  const { config } = m.checkpoint;
  const c = parseFields(fields, config.raw, config.file);
  const { hidden_size: hidden, intermediate_size: inner, num_attention_heads: heads } = c;
  const headDim = hidden / heads;
  const kv = c.num_key_value_heads ?? heads;
  const raw = { partial_rotary_factor: 0.5, ...config.raw };
  const shape: ClassicShape = {
    hidden,
    vocabulary: c.vocab_size,
    contextLength: c.max_position_embeddings,
    epsilon: c.layer_norm_eps,
    heads,
    keyValueHeads: kv,
    headDim,
    windows: fullWindows(m, c.num_hidden_layers),
    rotary: rotaryTable({ ...config, raw }, { headDim, isPartial: true }),
  };
  const activation = activationOf(c.hidden_act, config);
  const mlp = plainMlp({ hidden, inner, hasBias: true, activation }, ["fc1", "fc2"]);
  const norm = (path: string): ((x: Value) => Value) =>
    normed(m, { size: hidden, epsilon: shape.epsilon }, path);
  return buildClassic(m, shape, {
    late: ["q_layernorm", "k_layernorm", "input_layernorm"],
    stack: "model.layers",
    embed: (ids) => {
      const rows = m.embedding("model.embed_tokens", ids, [c.vocab_size, hidden]);
      const rate = dropoutRate(0, "embd_pdrop");
      return m.dropout(rows, { path: "model.embed_dropout", rate, size: hidden });
    },
    block: ({ layer, path, stream, inputs: shared }) => {
      const inputs = c.qk_layernorm ? withHeadNorms(m, shape, shared) : shared;
      return residualBlock(m, "parallel", {
        stream,
        dropout: { path, rate: dropoutRate(0, "resid_pdrop"), size: hidden },
        attentionNorm: norm(`${path}.input_layernorm`),
        mlpNorm: null,
        attention: (x) => {
          const at = `${path}.self_attn`;
          const qkv = m.linears(x, [
            linear(`${at}.q_proj`, [hidden, heads * headDim], true),
            linear(`${at}.k_proj`, [hidden, kv * headDim], true),
            linear(`${at}.v_proj`, [hidden, kv * headDim], true),
          ]);
          const output = linear(`${at}.dense`, [heads * headDim, hidden], true);
          return selfAttention(m, shape, { layer, path: at, qkv, output, inputs });
        },
        mlp: (x) => mlp(m, { layer, path: `${path}.mlp`, x }),
      });
    },
    finish: norm("model.final_layernorm"),
    head: headModule(shape, {
      tiedTo: c.tie_word_embeddings ? "model.embed_tokens" : null,
      hasBias: true,
    }),
  });
}

/** A norm of each head's query and key before they turn (`qk_layernorm`). */
function withHeadNorms<I extends AttentionInputs>(
  m: ModelBuilder,
  { heads, keyValueHeads, headDim, epsilon }: ClassicShape,
  inputs: I,
): I {
  const turn = (path: string, queryKey: Value): Value => {
    const parts = m.g.split(queryKey, [heads, keyValueHeads], 1) as [Value, Value];
    const names = ["q_layernorm", "k_layernorm"];
    const own = parts.map((part, i) =>
      normed(m, { size: headDim, epsilon }, `${path}.${names[i]}`)(part),
    );
    const together = m.g.concat(own, 1);
    return inputs.turn ? inputs.turn(path, together) : together;
  };
  return { ...inputs, turn };
}

export const phi: Family = { modelType: "phi", architectures: { PhiForCausalLM: build } };
