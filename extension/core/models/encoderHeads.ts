import { encode, encoderModel, type EncoderShape, linearOf } from "./encoderBlocks.ts";
import type { EncoderModel } from "./encoderModel.ts";
import { labelCount } from "./labels.ts";
import type { Task } from "./model.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** Labels of every token: a linear layer on the stream. */
export function tokenHead(m: ModelBuilder, shape: EncoderShape): EncoderModel {
  const width = labelCount(m.checkpoint.config);
  return streamHead(m, shape, { path: "classifier", width, task: "token-classification" });
}

/** How much every token looks like the first and like the last of an answer. */
export function spanHead(m: ModelBuilder, shape: EncoderShape): EncoderModel {
  return streamHead(m, shape, { path: "qa_outputs", width: 2, task: "question-answering" });
}

function streamHead(
  m: ModelBuilder,
  shape: EncoderShape,
  { path, width, task }: { path: string; width: number; task: Task },
): EncoderModel {
  const logits = m.linears(encode(m, shape), [linearOf(path, [shape.hidden, width])]);
  return encoderModel(m, shape, { logits, head: { task, width, paths: [path] } });
}
