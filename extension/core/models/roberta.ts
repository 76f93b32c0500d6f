import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { bertShape, bertTensorName, stackModel } from "./bert.ts";
import {
  encode,
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

const fields = z.looseObject({ pad_token_id: z.int().nonnegative().nullish() });

/** BERT whose positions begin behind the id of padding, without a pooler in front of its heads. */
function robertaShape(config: ModelConfig): EncoderShape {
  const padding = parseFields(fields, config.raw, config.file).pad_token_id ?? 1;
  const raw = { vocab_size: 50265, ...config.raw };
  return {
    ...bertShape({ ...config, raw }),
    root: "roberta",
    positions: { kind: "afterPadding", padding },
  };
}

/** A head of two layers on the first token. */
function sequenceModel(m: ModelBuilder): EncoderModel {
  const shape = robertaShape(m.checkpoint.config);
  const { hidden } = shape;
  const width = labelCount(m.checkpoint.config);
  const first = firstToken(m, encode(m, shape));
  const dense = linearOf("classifier.dense", [hidden, hidden]);
  const out = linearOf("classifier.out_proj", [hidden, width]);
  const at = { rate: shape.dropout.head, size: hidden, isApart: true };
  const left = m.dropout(first, { path: dense.path, ...at });
  const turned = m.dropout(m.g.tanh(m.linears(left, [dense])), { path: out.path, ...at });
  const logits = m.linears(turned, [out]);
  const paths = [dense.path, out.path];
  return encoderModel(m, shape, {
    logits,
    head: { task: "sequence-classification", width, paths },
  });
}

function maskedModel(m: ModelBuilder): EncoderModel {
  const shape = robertaShape(m.checkpoint.config);
  const { hidden, vocabulary, epsilon } = shape;
  const dense = linearOf("lm_head.dense", [hidden, hidden]);
  const turned = m.g.gelu(m.linears(encode(m, shape), [dense]));
  const at = { path: "lm_head.layer_norm", size: hidden, epsilon };
  const isTied = m.checkpoint.config.raw["tie_word_embeddings"] !== false;
  const weight = isTied ? "roberta.embeddings.word_embeddings.weight" : undefined;
  const decoder = linearOf("lm_head.decoder", [hidden, vocabulary]);
  const logits = m.linears(normOf(m, turned, at), [{ ...decoder, ...(weight && { weight }) }]);
  const paths = [dense.path, at.path, decoder.path];
  const head = { task: "masked-language-modeling", width: vocabulary, paths } as const;
  return encoderModel(m, shape, { logits, head, outputEmbedding: decoder.path });
}

function tensorName(name: string): string | null {
  if (name === "lm_head.decoder.bias") return null;
  return name === "lm_head.bias" ? "lm_head.decoder.bias" : bertTensorName(name);
}

/** RoBERTa, and relatives whose classes have another name in front. */
function robertaFamily(modelType: string, stem: string): Family {
  return {
    modelType,
    backbone: "roberta",
    architectures: {
      [`${stem}Model`]: (m) => stackModel(m, robertaShape(m.checkpoint.config)),
      [`${stem}ForSequenceClassification`]: sequenceModel,
      [`${stem}ForTokenClassification`]: (m) => tokenHead(m, robertaShape(m.checkpoint.config)),
      [`${stem}ForQuestionAnswering`]: (m) => spanHead(m, robertaShape(m.checkpoint.config)),
      [`${stem}ForMaskedLM`]: maskedModel,
    },
    tensorName,
  };
}

export const roberta = robertaFamily("roberta", "Roberta");
export const xlmRoberta = robertaFamily("xlm-roberta", "XLMRoberta");
export const camembert = robertaFamily("camembert", "Camembert");
