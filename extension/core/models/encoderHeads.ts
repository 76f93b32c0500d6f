import type { DropoutRate } from "./dropout.ts";
import { encode, encoderModel, type EncoderShape, linearOf } from "./encoderBlocks.ts";
import type { EncoderModel } from "./encoderModel.ts";
import { labelCount } from "./labels.ts";
import type { Task } from "./model.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** Labels of every token: a linear layer on the stream. */
export function tokenHead(m: ModelBuilder, shape: EncoderShape): EncoderModel {
  const width = labelCount(m.checkpoint.config);
  const rate = shape.dropout.head;
  return streamHead(m, shape, { path: "classifier", width, task: "token-classification", rate });
}

/** How much every token looks like the first and like the last of an answer. */
export function spanHead(m: ModelBuilder, shape: EncoderShape): EncoderModel {
  const rate = shape.dropout.spans;
  return streamHead(m, shape, { path: "qa_outputs", width: 2, task: "question-answering", rate });
}

function streamHead(
  m: ModelBuilder,
  shape: EncoderShape,
  at: { path: string; width: number; task: Task; rate: DropoutRate | null },
): EncoderModel {
  const { path, width, task, rate } = at;
  const stream = encode(m, shape);
  const left = rate === null ? stream : m.dropout(stream, { path, rate, size: shape.hidden });
  const logits = m.linears(left, [linearOf(path, [shape.hidden, width])]);
  return encoderModel(m, shape, { logits, head: { task, width, paths: [path] } });
}
