/** What a language model is told and answers: messages, or a prompt and its completion. */
import { t } from "@vscode/l10n";
import { isObject, type JsonObject } from "../../../base/json.ts";
import { type Example, type Fault, fault } from "../example.ts";
import { listOf, optionalText, readText } from "../fields.ts";
import { readMessages } from "../messages.ts";
import type { FieldNames, RecordFormat } from "./recordFormat.ts";

/** Lists of messages, as transformers' chat templates take them. */
export function chat(fields: FieldNames): RecordFormat {
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
export function instruction(fields: FieldNames): RecordFormat {
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
export function answers(record: JsonObject, names: FieldNames): RecordFormat | null {
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
