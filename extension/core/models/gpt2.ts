import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { Value } from "../onnx/graph.ts";
import { attend, type AttentionInputs, type AttentionShape } from "./attention.ts";
import { attentionMask, type CausalModel } from "./causalModel.ts";
import { endDecoder } from "./decoderHeads.ts";
import type { Family } from "./family.ts";
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
  activation_function: z.literal("gelu_new").default("gelu_new"),
  tie_word_embeddings: z.boolean().default(true),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.literal(false).default(false),
});

interface Gpt2Shape extends AttentionShape {
  readonly config: z.infer<typeof fields>;
  readonly inner: number;
}

function shapeOf(config: ModelConfig, order: readonly number[] | null): Gpt2Shape {
  const c = parseFields(fields, config.raw, config.file);
  const headDim = c.n_embd / c.n_head;
  const layers = Array.from({ length: order?.length ?? c.n_layer }, (_, i) => i);
  const scale = c.scale_attn_weights ? 1 / Math.sqrt(headDim) : 1;
  return {
    config: c,
    inner: c.n_inner ?? 4 * c.n_embd,
    heads: c.n_head,
    keyValueHeads: c.n_head,
    headDim,
    windows: layers.map(() => null),
    scales: layers.map((i) => (c.scale_attn_by_inverse_layer_idx ? scale / (i + 1) : scale)),
  };
}

/** Builds GPT-2: learned positions, pre-norm attention and MLP with biases, weights stored [in, out]. */
function build(m: ModelBuilder): CausalModel {
  const { g } = m;
  const shape = shapeOf(m.checkpoint.config, m.layers);
  const { config: c, heads, headDim } = shape;
  const hidden = c.n_embd;
  const masks = [attentionMask(null)];
  const ids = g.input("input_ids", "int64", ["batch", "seq"]);
  const positions = g.input("position_ids", "int64", ["batch", "seq"]);
  const mask = g.input("mask", "float32", ["batch", 1, "queries", "keys"]);
  const inputs = { kvSizes: g.input("kv_sizes", "int64", [2]), masks: new Map([[null, mask]]) };
  let stream = g.add(
    m.embedding("transformer.wte", ids, [c.vocab_size, hidden]),
    m.positions("transformer.wpe", positions, [c.n_positions, hidden]),
  );
  const [keys, values]: [Value[], Value[]] = [[], []];
  const layers = shape.windows.length;
  for (let layer = 0; layer < layers; layer++) {
    const around = m.block(`transformer.h.${layer}`, hidden);
    const made = block(m, shape, { layer, stream: around ? around.enter(stream) : stream, inputs });
    keys.push(made.key);
    values.push(made.value);
    stream = around ? around.leave(made.stream) : made.stream;
  }
  endDecoder(m, norm(m, shape, { path: "transformer.ln_f", x: stream }), {
    hidden,
    languageHead: (rows) => languageModelHead(m, shape, rows),
  });
  const flat = [...keys, ...values].map((kv) => g.unsqueeze(kv, 0));
  g.output(g.concat(flat, 0), "new_kv", "float32", [2 * layers, "batch", heads, "seq", headDim]);
  return {
    kind: "causal",
    graph: g.build(m.checkpoint.config.architecture),
    tree: { modules: m.modules, outputEmbedding: "lm_head" },
    groups: m.groups,
    layers,
    keyValueHeads: heads,
    queriesPerKey: 1,
    headDim,
    vocabulary: c.vocab_size,
    contextLength: c.n_positions,
    rotary: [],
    masks,
  };
}

function languageModelHead(m: ModelBuilder, { config: c }: Gpt2Shape, rows: Value): Value {
  const head = { kind: "linear", path: "lm_head", in: c.n_embd, out: c.vocab_size } as const;
  const weight = c.tie_word_embeddings ? "transformer.wte.weight" : "lm_head.weight";
  return m.linears(rows, [{ ...head, hasBias: false, weight }]);
}

function block(
  m: ModelBuilder,
  shape: Gpt2Shape,
  at: { layer: number; stream: Value; inputs: AttentionInputs },
): { stream: Value; key: Value; value: Value } {
  const { g } = m;
  const { layer, stream, inputs } = at;
  const { config: c, inner } = shape;
  const path = `transformer.h.${layer}`;
  const attn = `${path}.attn`;
  const x = norm(m, shape, { path: `${path}.ln_1`, x: stream });
  const qkv = m.linears(x, [conv1d(`${attn}.c_attn`, [c.n_embd, 3 * c.n_embd])]);
  const { mixed, key, value } = attend(m, shape, { layer, path: attn, qkv, inputs });
  const attended = m.linears(mixed, [conv1d(`${attn}.c_proj`, [c.n_embd, c.n_embd])]);
  const middle = g.add(stream, attended);
  const y = norm(m, shape, { path: `${path}.ln_2`, x: middle });
  const opened = m.linears(y, [conv1d(`${path}.mlp.c_fc`, [c.n_embd, inner])]);
  const active = g.scope(`${path}.mlp`, () => g.geluTanh(opened));
  const closed = m.linears(active, [conv1d(`${path}.mlp.c_proj`, [inner, c.n_embd])]);
  return { stream: g.add(middle, closed), key, value };
}

function norm(
  m: ModelBuilder,
  { config }: Gpt2Shape,
  { path, x }: { path: string; x: Value },
): Value {
  const own = m.biasedNorm(path, config.n_embd);
  return m.g.scope(path, () => m.g.layerNorm(x, { ...own, epsilon: config.layer_norm_epsilon }));
}

/** transformers' Conv1D: a linear layer whose weight is stored [in, out]. */
function conv1d(path: string, [inputs, out]: [number, number]): LinearModule {
  return { kind: "linear", path, in: inputs, out, hasBias: true, isTransposed: true };
}

export const gpt2: Family = {
  modelType: "gpt2",
  architectures: { GPT2LMHeadModel: build },
  backbone: "transformer",
  tokenHead: "classifier",
};
