import type { JsonObject } from "../../../base/json.ts";
import type { Example, Fault } from "../example.ts";

export type DataTask =
  | "causal"
  /** Prompts for an encoder, answers of a decoder. */
  | "seq2seq"
  | "sequence-classification"
  | "token-classification"
  /** Answers that stand in a text (SQuAD). */
  | "question-answering";

export type DataField =
  | "text"
  | "prompt"
  | "completion"
  | "messages"
  | "system"
  | "input"
  | "tools"
  | "label"
  | "pair"
  | "words"
  | "tags"
  | "task";

export type FieldNames = Partial<Record<DataField, string>>;

export type DataFormat = "chat" | "instruction" | "text" | "classification" | "tags" | "questions";

/** How the records of a data set are read; all of them in one way. */
export interface RecordFormat {
  readonly format: DataFormat;
  readonly task: DataTask;
  /** As the files name them. */
  readonly fields: Readonly<FieldNames>;
  read(record: JsonObject): Example | Fault;
}
