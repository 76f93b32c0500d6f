import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { activationOf } from "./activations.ts";
import { bertTensorName } from "./bert.ts";
import { dropoutRate } from "./dropout.ts";
import {
  encode,
  type EncoderDropout,
  encoderModel,
  type EncoderShape,
  firstToken,
  linearOf,
  normOf,
} from "./encoderBlocks.ts";
import { spanHead, tokenHead } from "./encoderHeads.ts";
import type { EncoderModel } from "./encoderModel.ts";
import type { Family } from "./family.ts";
import { labelCount } from "./labels.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

const size = z.int().positive();

const fields = z.looseObject({
  vocab_size: size.default(30522),
  dim: size.default(768),
  n_layers: size.default(6),
  n_heads: size.default(12),
  hidden_dim: size.default(3072),
  activation: z.string().default("gelu"),
  max_position_embeddings: size.default(512),
});

/** BERT without segments and pooler, with names of its own. */
function distilbertShape(config: ModelConfig): EncoderShape {
  const c = parseFields(fields, config.raw, config.file);
  return {
    root: "distilbert",
    hidden: c.dim,
    layers: c.n_layers,
    heads: c.n_heads,
    intermediate: c.hidden_dim,
    vocabulary: c.vocab_size,
    epsilon: 1e-12,
    positionRows: c.max_position_embeddings,
    positions: { kind: "count" },
    tokenTypes: null,
    activation: activationOf(c.activation, config),
    names: {
      blocks: "transformer.layer",
      query: "attention.q_lin",
      key: "attention.k_lin",
      value: "attention.v_lin",
      attended: "attention.out_lin",
      afterAttention: "sa_layer_norm",
      up: "ffn.lin1",
      down: "ffn.lin2",
      afterMlp: "output_layer_norm",
    },
    takesPrefix: false,
    dropout: distilbertDropout,
  };
}

const hidden = dropoutRate(0.1, "dropout");

const distilbertDropout: EncoderDropout = {
  hidden,
  attention: dropoutRate(0.1, "attention_dropout"),
  attended: null,
  head: hidden,
  spans: dropoutRate(0.1, "qa_dropout"),
};

const sequenceDropout = dropoutRate(0.2, "seq_classif_dropout");

function stackModel(m: ModelBuilder): EncoderModel {
  const shape = distilbertShape(m.checkpoint.config);
  const head = { task: "feature-extraction", width: shape.hidden, paths: [] } as const;
  return encoderModel(m, shape, { logits: encode(m, shape), head });
}

/** relu(pre_classifier) of the first token, then the classifier. */
function sequenceModel(m: ModelBuilder): EncoderModel {
  const shape = distilbertShape(m.checkpoint.config);
  const { hidden } = shape;
  const width = labelCount(m.checkpoint.config);
  const first = firstToken(m, encode(m, shape));
  const before = linearOf("pre_classifier", [hidden, hidden]);
  const out = linearOf("classifier", [hidden, width]);
  const at = { path: out.path, rate: sequenceDropout, size: hidden, isApart: true };
  const turned = m.dropout(m.g.relu(m.linears(first, [before])), at);
  const logits = m.linears(turned, [out]);
  const paths = [before.path, out.path];
  return encoderModel(m, shape, {
    logits,
    head: { task: "sequence-classification", width, paths },
  });
}

function maskedModel(m: ModelBuilder): EncoderModel {
  const shape = distilbertShape(m.checkpoint.config);
  const { hidden, vocabulary, epsilon, activation } = shape;
  const turn = linearOf("vocab_transform", [hidden, hidden]);
  const turned = activation(m.g, m.linears(encode(m, shape), [turn]));
  const at = { path: "vocab_layer_norm", size: hidden, epsilon };
  const isTied = m.checkpoint.config.raw["tie_word_embeddings"] !== false;
  const weight = isTied ? "distilbert.embeddings.word_embeddings.weight" : undefined;
  const decoder = linearOf("vocab_projector", [hidden, vocabulary]);
  const logits = m.linears(normOf(m, turned, at), [{ ...decoder, ...(weight && { weight }) }]);
  const paths = [turn.path, at.path, decoder.path];
  const head = { task: "masked-language-modeling", width: vocabulary, paths } as const;
  return encoderModel(m, shape, { logits, head, outputEmbedding: decoder.path });
}

export const distilbert: Family = {
  modelType: "distilbert",
  backbone: "distilbert",
  architectures: {
    DistilBertModel: stackModel,
    DistilBertForSequenceClassification: sequenceModel,
    DistilBertForTokenClassification: (m) => tokenHead(m, distilbertShape(m.checkpoint.config)),
    DistilBertForQuestionAnswering: (m) => spanHead(m, distilbertShape(m.checkpoint.config)),
    DistilBertForMaskedLM: maskedModel,
  },
  tensorName: bertTensorName,
};
