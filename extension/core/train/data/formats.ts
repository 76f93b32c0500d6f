import { t } from "@vscode/l10n";
import { isObject, type JsonObject } from "../../base/json.ts";
import { type Example, type Fault, fault } from "./example.ts";
import { isLabel, listOf, optionalText, readLabel, readText } from "./fields.ts";
import { taskNames } from "./tasks.ts";
import { readMessages } from "./messages.ts";
import { hasQuestions, hasSpans, questions } from "./questions.ts";

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
export function fieldNames(record: JsonObject, fields: FieldNames): FieldNames {
  const names: FieldNames = {};
  for (const [field, usual] of Object.entries(usualNames) as [DataField, string[]][]) {
    const name = fields[field] ?? usual.find((each) => Object.hasOwn(record, each));
    if (name !== undefined) names[field] = name;
  }
  return names;
}

/** A format that was asked for, where its fields are known. */
function chosenFormat(names: FieldNames, format: DataFormat): RecordFormat | null {
  const has = (...fields: DataField[]): boolean =>
    fields.every((field) => names[field] !== undefined);
  switch (format) {
    case "chat":
      return has("messages") ? chat(names) : null;
    case "instruction":
      return has("prompt", "completion") ? instruction(names) : null;
    case "text":
      return has("text") ? plain(names) : null;
    case "classification":
      return has("text", "label") ? classification(names) : null;
    case "tags":
      return has("words", "tags") ? tagged(names) : null;
    case "questions":
      return questions(names);
    default:
      return format satisfies never;
  }
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

function plain(fields: FieldNames): RecordFormat {
  const name = fields.text ?? "text";
  return {
    format: "text",
    task: "causal",
    fields: { text: name },
    read: (record) => {
      const text = readText(record, name);
      return typeof text === "string" ? { kind: "text", text } : text;
    },
  };
}

function chat(fields: FieldNames): RecordFormat {
  const name = fields.messages ?? "messages";
  return {
    format: "chat",
    task: "causal",
    fields,
    read: (record) => {
      const messages = readMessages(record, name);
      if ("kind" in messages) return messages;
      const tools = readTools(record, fields.tools);
      if (tools && "kind" in tools) return tools;
      return {
        kind: "chat",
        messages: withSystem(record, fields.system, messages),
        ...(tools && { tools }),
      };
    },
  };
}

/** Prompt and completion as texts, or as lists of messages ("conversational", in TRL's words). */
function instruction(fields: FieldNames): RecordFormat {
  const [promptName, completionName] = [
    fields.prompt ?? "prompt",
    fields.completion ?? "completion",
  ];
  return {
    format: "instruction",
    task: "causal",
    fields,
    read: (record) => {
      if (Array.isArray(record[promptName])) return conversational(record, fields);
      const prompt = readText(record, promptName);
      if (typeof prompt !== "string") return prompt;
      const completion = readText(record, completionName);
      if (typeof completion !== "string") return completion;
      const input = optionalText(record, fields.input);
      const system = optionalText(record, fields.system);
      const whole = [system, prompt, input].filter((each) => each !== "").join("\n\n");
      return { kind: "instruction", prompt: whole, completion };
    },
  };
}

/** Names of data sets for summaries and translations. */
const answerNames = {
  prompt: ["source", "document", "article", "dialogue"],
  completion: ["target", "summary", "highlights"],
} as const;

/** Prompt and completion for a model with encoder and decoder; null where there are none. */
function answers(record: JsonObject, names: FieldNames): RecordFormat | null {
  const own = (field: keyof typeof answerNames): string | undefined =>
    names[field] ?? answerNames[field].find((each) => Object.hasOwn(record, each));
  const [prompt, completion] = [own("prompt"), own("completion")];
  if (prompt === undefined || completion === undefined) return null;
  const format = instruction({ ...names, prompt, completion });
  return {
    ...format,
    task: "seq2seq",
    read: (each) => {
      const example = format.read(each);
      if (example.kind === "instruction") return { ...example, kind: "answer" };
      if (example.kind === "fault") return example;
      return fault([prompt], t("“{0}” has to be text: the base reads no chats.", prompt));
    },
  };
}

function conversational(record: JsonObject, fields: FieldNames): Example | Fault {
  const prompt = readMessages(record, fields.prompt ?? "prompt");
  if ("kind" in prompt) return prompt;
  const completion = readMessages(record, fields.completion ?? "completion");
  if ("kind" in completion) return completion;
  const tools = readTools(record, fields.tools);
  if (tools && "kind" in tools) return tools;
  const before = withSystem(record, fields.system, prompt);
  return {
    kind: "chat",
    messages: [...before, ...completion],
    promptCount: before.length,
    ...(tools && { tools }),
  };
}

function classification(fields: FieldNames): RecordFormat {
  const [text, label] = [fields.text ?? "text", fields.label ?? "label"];
  return {
    format: "classification",
    task: "sequence-classification",
    fields: { text, label, ...(fields.pair !== undefined && { pair: fields.pair }) },
    read: (record) => {
      const own = readText(record, text);
      if (typeof own !== "string") return own;
      const value = readLabel(record, label);
      if (typeof value === "object" && "kind" in value) return value;
      const pair = fields.pair === undefined ? undefined : readText(record, fields.pair);
      if (typeof pair === "object") return pair;
      return {
        kind: "classification",
        text: own,
        label: value,
        ...(pair !== undefined && { pair }),
      };
    },
  };
}

function tagged(fields: FieldNames): RecordFormat {
  const [wordName, tagName] = [fields.words ?? "tokens", fields.tags ?? "tags"];
  return {
    format: "tags",
    task: "token-classification",
    fields: { words: wordName, tags: tagName },
    read: (record) => {
      const [words, tags] = [listOf(record[wordName]), listOf(record[tagName])];
      if (!words?.every((each) => typeof each === "string"))
        return fault([wordName], t("“{0}” has to be a list of words.", wordName));
      if (!tags?.every(isLabel))
        return fault([tagName], t("“{0}” has to be a list of labels, names or numbers.", tagName));
      if (words.length !== tags.length)
        return fault(
          [tagName],
          t("There are {0} words and {1} labels. Each word needs one.", words.length, tags.length),
        );
      return { kind: "tags", words, tags };
    },
  };
}

function withSystem(
  record: JsonObject,
  name: string | undefined,
  messages: readonly JsonObject[],
): readonly JsonObject[] {
  const system = optionalText(record, name);
  if (system === "" || messages[0]?.["role"] === "system") return messages;
  return [{ role: "system", content: system }, ...messages];
}

/** A list of functions, in a cell of a table as JSON. */
function readTools(
  record: JsonObject,
  name: string | undefined,
): readonly unknown[] | Fault | undefined {
  const value = name === undefined ? undefined : record[name];
  if (name === undefined || value === undefined || value === null || value === "") return undefined;
  const list = listOf(value);
  return list?.every(isObject)
    ? list
    : fault([name], t("“{0}” has to be a list of functions.", name));
}
