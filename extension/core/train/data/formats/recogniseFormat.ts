import { t } from "@vscode/l10n";
import type { JsonObject } from "../../../base/json.ts";
import { taskNames } from "../tasks.ts";
import { classification } from "./classification.ts";
import { answers, chat, instruction } from "./conversations.ts";
import { plain } from "./plainText.ts";
import { hasQuestions, hasSpans, questions } from "./questions.ts";
import type { DataField, DataFormat, DataTask, FieldNames, RecordFormat } from "./recordFormat.ts";
import { tagged } from "./tags.ts";

/** Names that data sets use, TRL's first. */
const usualNames: Readonly<Record<DataField, readonly string[]>> = {
  messages: ["messages", "conversations", "conversation"],
  prompt: ["prompt", "instruction", "question"],
  completion: ["completion", "output", "response", "answer"],
  system: ["system", "system_prompt"],
  input: ["input", "context"],
  tools: ["tools"],
  text: ["text", "sentence", "sentence1", "content"],
  pair: ["text_pair", "sentence2"],
  label: ["label", "labels"],
  words: ["tokens", "words"],
  tags: ["ner_tags", "tags", "pos_tags", "labels"],
  task: taskNames,
};

/** What a user may say of a data set; the rest is told by its first record. */
export interface FormatWish {
  readonly fields?: FieldNames | undefined;
  readonly task?: DataTask | undefined;
  readonly format?: DataFormat | undefined;
}

/** Finds out by the fields of the first record what a data set is, as TRL does; null when it cannot. */
export function recogniseFormat(
  record: JsonObject,
  { fields = {}, task, format }: FormatWish = {},
): RecordFormat | null {
  const names = fieldNames(record, fields);
  if (task === "seq2seq") return answers(record, names);
  if (format !== undefined) return chosenFormat(names, format);
  const { text, label, words, tags, messages, prompt, completion } = names;
  if (task === "question-answering" || (task === undefined && hasSpans(record)))
    return hasQuestions(record, names) ? questions(names) : null;
  const isCausal = task === undefined || task === "causal";
  if (isCausal && messages !== undefined) return chat(names);
  if (isCausal && prompt !== undefined && completion !== undefined) return instruction(names);
  if (
    task !== "sequence-classification" &&
    words !== undefined &&
    tags !== undefined &&
    !isText(record, words)
  )
    return task === "causal" ? null : tagged(names);
  if (
    task !== "token-classification" &&
    task !== "causal" &&
    text !== undefined &&
    label !== undefined
  )
    return classification(names);
  return isCausal && text !== undefined ? plain(names) : null;
}

/** Which of a record's fields hold what: those that are named, else by their usual names. */
function fieldNames(record: JsonObject, fields: FieldNames): FieldNames {
  const names: FieldNames = {};
  for (const [field, usual] of Object.entries(usualNames) as [DataField, string[]][]) {
    const name = fields[field] ?? usual.find((each) => Object.hasOwn(record, each));
    if (name !== undefined) names[field] = name;
  }
  return names;
}

/** Each format with the fields that it cannot do without. */
const formats: Readonly<
  Record<DataFormat, { needs: readonly DataField[]; read(names: FieldNames): RecordFormat }>
> = {
  chat: { needs: ["messages"], read: chat },
  instruction: { needs: ["prompt", "completion"], read: instruction },
  text: { needs: ["text"], read: plain },
  classification: { needs: ["text", "label"], read: classification },
  tags: { needs: ["words", "tags"], read: tagged },
  questions: { needs: [], read: questions },
};

/** A format that was asked for, where its fields are known. */
function chosenFormat(names: FieldNames, format: DataFormat): RecordFormat | null {
  const { needs, read } = formats[format];
  return needs.every((field) => names[field] !== undefined) ? read(names) : null;
}

/** What to do about a first record of no known format. */
export function explainFormats(record: JsonObject, { task, format }: FormatWish): string {
  const names = Object.keys(record).slice(0, 12).join(", ");
  if (Object.hasOwn(record, "chosen") && Object.hasOwn(record, "rejected")) {
    return t(
      "The records hold preferences (chosen, rejected), from which Graft does not learn yet. Keep the chosen answers as “messages” or as “prompt” and “completion”.",
    );
  }
  const causal = t("“messages”, “prompt” and “completion”, or “text”");
  const byFormat = {
    chat: t("“messages”"),
    instruction: t("“prompt” and “completion”"),
    text: t("“text”"),
    classification: t("“text” and “label”"),
    tags: t("“tokens” and “tags”, lists of the same length"),
    questions: t("“question”, “context” and “answers” (text, answer_start)"),
  } as const;
  const byTask = {
    causal,
    seq2seq: byFormat.instruction,
    "sequence-classification": byFormat.classification,
    "token-classification": byFormat.tags,
    "question-answering": byFormat.questions,
  } as const;
  const wanted = format !== undefined ? byFormat[format] : byTask[task ?? "causal"];
  return t(
    "The fields ({0}) do not say what is to be learned. Name them {1}, or choose which field is which.",
    names,
    wanted,
  );
}

function isText(record: JsonObject, name: string): boolean {
  return typeof record[name] === "string" && !record[name].startsWith("[");
}
