import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { Value } from "../onnx/graph.ts";
import { declaredOrder } from "./declaredOrder.ts";
import { type Activation, activationOf } from "./activations.ts";
import { dropoutRate } from "./dropout.ts";
import { firstToken, linearOf, mix, normOf } from "./encoderBlocks.ts";
import type { Family } from "./family.ts";
import type { ImageModel } from "./imageModel.ts";
import { labelCount } from "./labels.ts";
import { linear } from "./mlp.ts";
import type { Head } from "./model.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

const size = z.int().positive();
const sides = z
  .union([size, z.tuple([size, size])])
  .transform((value): [number, number] => (typeof value === "number" ? [value, value] : value));

const fields = z.looseObject({
  hidden_size: size.default(768),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(12),
  intermediate_size: size.default(3072),
  hidden_act: z.string().default("gelu"),
  layer_norm_eps: z.number().positive().default(1e-12),
  image_size: sides.default([224, 224]),
  patch_size: sides.default([16, 16]),
  num_channels: size.default(3),
  qkv_bias: z.boolean().default(true),
  pooler_output_size: size.nullish(),
  pooler_act: z.string().default("tanh"),
});

interface VitShape {
  readonly config: z.infer<typeof fields>;
  readonly activation: Activation;
  readonly poolerActivation: Activation;
  /** Patches down and across. */
  readonly grid: readonly [number, number];
}

function shapeOf(config: ModelConfig): VitShape {
  const c = parseFields(fields, config.raw, config.file);
  const grid = c.image_size.map((side, i) => Math.floor(side / (c.patch_size[i] as number)));
  if (c.image_size.some((side, i) => side % (c.patch_size[i] as number) !== 0)) {
    throw badFile(
      config.file,
      t(
        'field "image_size" {0} is no multiple of patch_size {1}',
        c.image_size.join(" × "),
        c.patch_size.join(" × "),
      ),
    );
  }
  return {
    config: c,
    activation: activationOf(c.hidden_act, config),
    poolerActivation: activationOf(c.pooler_act, config),
    grid: grid as [number, number],
  };
}

/** The stream [batch, 1 + patches, hidden] behind the last norm: pre-norm blocks over patches. */
function encode(m: ModelBuilder, shape: VitShape): Value {
  const { config: c } = shape;
  let stream = embed(m, shape);
  for (let layer = 0; layer < layerCount(m, shape); layer++) {
    const path = `vit.layers.${layer}`;
    const around = m.block(path, c.hidden_size);
    const made = block(m, shape, { path, x: around ? around.enter(stream) : stream });
    stream = around ? around.leave(made) : made;
  }
  return norm(m, shape, { path: "vit.layernorm", x: stream });
}

/** The class token and a linear layer on each patch, plus a place's own row. */
function embed(m: ModelBuilder, { config: c, grid: [down, across] }: VitShape): Value {
  const { g } = m;
  const { hidden_size: hidden, num_channels: channels, patch_size: patch } = c;
  const [height, width] = patch;
  const pixels = g.input("pixel_values", "float32", ["batch", channels, ...c.image_size]);
  const path = "vit.embeddings";
  const patches = g.scope(path, () => {
    const cut = g.reshape(pixels, [0, channels, down, height, across, width]);
    const inputs = channels * height * width;
    return g.reshape(g.transpose(cut, [0, 2, 4, 1, 3, 5]), [0, down * across, inputs]);
  });
  const projected = m.linears(patches, [
    {
      ...linearOf(`${path}.patch_embeddings.projection`, [channels * height * width, hidden]),
      kernel: [channels, height, width],
    },
  ]);
  return g.scope(path, () => {
    const token = m.weight(`${path}.cls_token`, [1, 1, hidden]);
    const places = m.weight(`${path}.position_embeddings`, [1, 1 + down * across, hidden]);
    const row = g.concat([g.repeatRows(token, projected, [1, hidden]), projected], 1);
    return m.dropout(g.add(row, places), { path, rate: dropouts.hidden, size: hidden });
  });
}

function block(m: ModelBuilder, shape: VitShape, { path, x }: { path: string; x: Value }): Value {
  const { g } = m;
  const { config: c, activation } = shape;
  const { hidden_size: hidden, intermediate_size: inner, num_attention_heads: heads } = c;
  const before = norm(m, shape, { path: `${path}.layernorm_before`, x });
  const attention = `${path}.attention`;
  const qkv = m.linears(
    before,
    ["q_proj", "k_proj", "v_proj"].map((name) =>
      linear(`${attention}.${name}`, [hidden, hidden], c.qkv_bias),
    ),
  );
  const at = { path: attention, heads, headDim: hidden / heads, mask: null, prefix: null };
  const mixed = mix(m, qkv, { ...at, dropout: dropouts.attention });
  const attended = m.linears(mixed, [linearOf(`${attention}.o_proj`, [hidden, hidden])]);
  const drop = { rate: dropouts.hidden, size: hidden };
  const middle = g.add(m.dropout(attended, { path: attention, ...drop }), x);
  const after = norm(m, shape, { path: `${path}.layernorm_after`, x: middle });
  const opened = m.linears(after, [linearOf(`${path}.mlp.fc1`, [hidden, inner])]);
  const active = g.scope(`${path}.mlp`, () => activation(g, opened));
  const closed = m.linears(active, [linearOf(`${path}.mlp.fc2`, [inner, hidden])]);
  return g.add(m.dropout(closed, { path: `${path}.mlp`, ...drop }), middle);
}

const dropouts = {
  hidden: dropoutRate(0, "hidden_dropout_prob"),
  attention: dropoutRate(0, "attention_probs_dropout_prob"),
};

function norm(
  m: ModelBuilder,
  { config: { hidden_size: size, layer_norm_eps: epsilon } }: VitShape,
  { path, x }: { path: string; x: Value },
): Value {
  return normOf(m, x, { path, size, epsilon });
}

function layerCount(m: ModelBuilder, { config }: VitShape): number {
  return m.layers?.length ?? config.num_hidden_layers;
}

function imageModel(
  m: ModelBuilder,
  shape: VitShape,
  { logits, head }: { logits: Value; head: Head },
): ImageModel {
  const { config: c, grid } = shape;
  m.g.output(logits, "logits", "float32", ["batch", "rows", head.width]);
  return {
    kind: "image",
    graph: m.g.build(m.checkpoint.config.architecture),
    tree: declaredOrder({ modules: m.modules, outputEmbedding: null }, [
      "layernorm_before",
      "layernorm_after",
      "mlp",
    ]),
    groups: m.groups,
    layers: layerCount(m, shape),
    keyValueHeads: c.num_attention_heads,
    queriesPerKey: 1,
    headDim: c.hidden_size / c.num_attention_heads,
    vocabulary: 0,
    contextLength: 1 + grid[0] * grid[1],
    head,
    channels: c.num_channels,
    imageSize: c.image_size,
  };
}

function classifier(m: ModelBuilder): ImageModel {
  const shape = shapeOf(m.checkpoint.config);
  const width = labelCount(m.checkpoint.config);
  const first = firstToken(m, encode(m, shape));
  const logits = m.linears(first, [linearOf("classifier", [shape.config.hidden_size, width])]);
  const head = { task: "image-classification", width, paths: ["classifier"] } as const;
  return imageModel(m, shape, { logits, head });
}

/** The bare stack, and beside it what its pooler makes of the class token. */
function stack(m: ModelBuilder): ImageModel {
  const shape = shapeOf(m.checkpoint.config);
  const { hidden_size: hidden, pooler_output_size: out } = shape.config;
  const stream = encode(m, shape);
  if (m.hasWeight("vit.pooler.dense.weight")) {
    const dense = linearOf("vit.pooler.dense", [hidden, out ?? hidden]);
    const pooled = shape.poolerActivation(m.g, m.linears(firstToken(m, stream), [dense]));
    m.g.output(pooled, "pooled", "float32", ["batch", 1, out ?? hidden]);
  }
  const head = { task: "feature-extraction", width: hidden, paths: [] } as const;
  return imageModel(m, shape, { logits: stream, head });
}

/** Names of files, which are those of transformers 4. */
const renamed: readonly (readonly [RegExp, string])[] = [
  [/(^|\.)encoder\.layer\.(\d+)\./, "$1layers.$2."],
  [/\.attention\.attention\.query\./, ".attention.q_proj."],
  [/\.attention\.attention\.key\./, ".attention.k_proj."],
  [/\.attention\.attention\.value\./, ".attention.v_proj."],
  [/\.attention\.output\.dense\./, ".attention.o_proj."],
  [/(layers\.\d+)\.intermediate\.dense\./, "$1.mlp.fc1."],
  [/(layers\.\d+)\.output\.dense\./, "$1.mlp.fc2."],
];

export const vit: Family = {
  modelType: "vit",
  backbone: "vit",
  architectures: { ViTForImageClassification: classifier, ViTModel: stack },
  tensorName: (name) =>
    renamed.reduce((own, [pattern, replacement]) => own.replace(pattern, replacement), name),
};
