import { t } from "@vscode/l10n";
import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { Value } from "../onnx/graph.ts";
import { activationOf } from "./activations.ts";
import { dropoutRate } from "./dropout.ts";
import {
  type BlockNames,
  encode,
  type EncoderDropout,
  encoderModel,
  type EncoderShape,
  firstToken,
  linearOf,
  normOf,
} from "./encoderBlocks.ts";
import type { EncoderModel } from "./encoderModel.ts";
import { spanHead, tokenHead } from "./encoderHeads.ts";
import type { Family } from "./family.ts";
import { labelCount } from "./labels.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

const size = z.int().positive();

const fields = z.looseObject({
  vocab_size: size.default(30522),
  hidden_size: size.default(768),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(12),
  intermediate_size: size.default(3072),
  hidden_act: z.string().default("gelu"),
  max_position_embeddings: size.default(512),
  type_vocab_size: size.default(2),
  layer_norm_eps: z.number().positive().default(1e-12),
  is_decoder: z.literal(false, t("Graft runs it as an encoder alone.")).default(false),
  position_embedding_type: z
    .literal("absolute", t("Graft runs absolute positions alone."))
    .default("absolute"),
});

const bertNames: BlockNames = {
  blocks: "encoder.layer",
  query: "attention.self.query",
  key: "attention.self.key",
  value: "attention.self.value",
  attended: "attention.output.dense",
  afterAttention: "attention.output.LayerNorm",
  up: "intermediate.dense",
  down: "output.dense",
  afterMlp: "output.LayerNorm",
};

/** config.json of the BERT pattern as an encoder's shape; relatives change what differs. */
export function bertShape(config: ModelConfig): EncoderShape {
  const c = parseFields(fields, config.raw, config.file);
  return {
    root: "bert",
    hidden: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    intermediate: c.intermediate_size,
    vocabulary: c.vocab_size,
    epsilon: c.layer_norm_eps,
    positionRows: c.max_position_embeddings,
    positions: { kind: "count" },
    tokenTypes: c.type_vocab_size,
    activation: activationOf(c.hidden_act, config),
    names: bertNames,
    takesPrefix: true,
    dropout: bertDropout,
  };
}

const hidden = dropoutRate(0.1, "hidden_dropout_prob");

const bertDropout: EncoderDropout = {
  hidden,
  attention: dropoutRate(0.1, "attention_probs_dropout_prob"),
  attended: hidden,
  head: dropoutRate(0.1, "classifier_dropout", "hidden_dropout_prob"),
  spans: null,
};

/** tanh(W x + b) of the first token [batch, 1, hidden]. */
function pooled(m: ModelBuilder, shape: EncoderShape, stream: Value): Value {
  const { root, hidden } = shape;
  const path = `${root}.pooler.dense`;
  return m.g.tanh(m.linears(firstToken(m, stream), [linearOf(path, [hidden, hidden])]));
}

/** The bare stack: its last stream, and beside it what its pooler makes of the first token. */
export function stackModel(m: ModelBuilder, shape: EncoderShape): EncoderModel {
  const stream = encode(m, shape);
  // Files of a model with another head have no pooler.
  if (m.hasWeight(`${shape.root}.pooler.dense.weight`)) {
    const own = pooled(m, shape, stream);
    m.g.output(own, "pooled", "float32", ["batch", 1, shape.hidden]);
  }
  const head = { task: "feature-extraction", width: shape.hidden, paths: [] } as const;
  return encoderModel(m, shape, { logits: stream, head });
}

function sequenceModel(m: ModelBuilder): EncoderModel {
  const shape = bertShape(m.checkpoint.config);
  const width = labelCount(m.checkpoint.config);
  const first = pooled(m, shape, encode(m, shape));
  const at = { rate: shape.dropout.head, size: shape.hidden, isApart: true };
  const left = m.dropout(first, { path: "classifier", ...at });
  const logits = m.linears(left, [linearOf("classifier", [shape.hidden, width])]);
  const head = { task: "sequence-classification", width, paths: ["classifier"] } as const;
  return encoderModel(m, shape, { logits, head });
}

function maskedModel(m: ModelBuilder): EncoderModel {
  const shape = bertShape(m.checkpoint.config);
  const { hidden, vocabulary, epsilon, activation } = shape;
  const path = "cls.predictions";
  const dense = linearOf(`${path}.transform.dense`, [hidden, hidden]);
  const turned = activation(m.g, m.linears(encode(m, shape), [dense]));
  const at = { path: `${path}.transform.LayerNorm`, size: hidden, epsilon };
  const isTied = m.checkpoint.config.raw["tie_word_embeddings"] !== false;
  const weight = isTied ? "bert.embeddings.word_embeddings.weight" : undefined;
  const decoder = linearOf(`${path}.decoder`, [hidden, vocabulary]);
  const logits = m.linears(normOf(m, turned, at), [{ ...decoder, ...(weight && { weight }) }]);
  const paths = [dense.path, `${path}.transform.LayerNorm`, decoder.path];
  const head = { task: "masked-language-modeling", width: vocabulary, paths } as const;
  return encoderModel(m, shape, { logits, head, outputEmbedding: decoder.path });
}

/** Names of TensorFlow's time, and a bias that is stored under the name that it has when tied. */
export function bertTensorName(name: string): string | null {
  if (/(^|\.)position_ids$/.test(name) || name === "cls.predictions.decoder.bias") return null;
  return name
    .replace(/LayerNorm\.gamma$/, "LayerNorm.weight")
    .replace(/LayerNorm\.beta$/, "LayerNorm.bias")
    .replace(/^cls\.predictions\.bias$/, "cls.predictions.decoder.bias");
}

export const bert: Family = {
  modelType: "bert",
  backbone: "bert",
  architectures: {
    BertModel: (m) => stackModel(m, bertShape(m.checkpoint.config)),
    BertForSequenceClassification: sequenceModel,
    BertForTokenClassification: (m) => tokenHead(m, bertShape(m.checkpoint.config)),
    BertForQuestionAnswering: (m) => spanHead(m, bertShape(m.checkpoint.config)),
    BertForMaskedLM: maskedModel,
  },
  tensorName: bertTensorName,
};
