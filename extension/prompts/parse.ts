import { t } from "@vscode/l10n";
import type { Node } from "yaml";
import { fields, formats, roles } from "./fields.ts";
import { byKey, parseSchema } from "./keys.ts";
import { parseEvaluators } from "./parseEvaluators.ts";
import {
  type AdapterRef,
  type ColumnRef,
  columnLabel,
  type ModelParameters,
  type PromptFile,
  type PromptMessage,
  type TestRow,
} from "./promptFile.ts";
import { variablesOf } from "./template.ts";
import { type Entry, YamlReader } from "./yamlReader.ts";

/** Reads a prompt file; what is wrong is in `problems`, and the rest is read all the same. */
export function parsePromptFile(text: string): PromptFile {
  const reader = new YamlReader(text);
  const broken = [...reader.problems];
  const top = byKey(reader, reader.entries(reader.root, t("A prompt file")), "");
  const messages = parseMessages(reader, top.get("messages"));
  const testData = top.get("testData");
  const rows = testData ? parseRows(reader, testData.value) : [];
  const model = top.get("model");
  const parameters = top.get("modelParameters");
  const id = model && reader.string(model.value, "model");
  const schema = parseSchema(reader, top.get("jsonSchema"));
  const own = byKey(reader, reader.entries(top.get("graft")?.value ?? null, "graft"), "graft");
  const file = {
    name: optional(reader, top.get("name")),
    description: optional(reader, top.get("description")),
    model: model && id ? { id, span: reader.spanOf(model.value) } : null,
    parameters: parseParameters(reader, parameters),
    format: parseFormat(reader, top.get("responseFormat"), schema),
    schema,
    messages,
    rows: rows.length > 0 ? rows : [emptyRow],
    hasTestData: rows.length > 0,
    evaluators: [
      ...parseEvaluators(reader, top.get("evaluators")?.value ?? null, "evaluators"),
      ...parseEvaluators(reader, own.get("evaluators")?.value ?? null, "graft.evaluators"),
    ],
    columns: parseColumns(reader, own.get("adapters")),
  };
  if (file.format !== "text" && file.parameters.stop && parameters) {
    const text = t("stop is not used where the answer is JSON: the value's end ends it.");
    reader.report(text, parameters.keySpan, "info");
  }
  if (reader.problems.every(({ severity }) => severity !== "error")) {
    checkVariables(reader, file);
  }
  // Of a file that is no YAML more would be guessed than known.
  const told = broken.length > 0 ? broken : reader.problems;
  const problems = [...told].sort((a, b) => a.span.start - b.span.start);
  return { ...file, problems };
}

const emptyRow: TestRow = {
  index: 0,
  values: {},
  keys: [],
  expected: null,
  expectedFrom: {},
  span: { start: 0, end: 0 },
};

function optional(reader: YamlReader, entry: Entry | undefined): string {
  return entry ? (reader.string(entry.value, entry.key) ?? "") : "";
}

function parseParameters(reader: YamlReader, entry: Entry | undefined): ModelParameters {
  const entries = byKey(
    reader,
    reader.entries(entry?.value ?? null, "modelParameters"),
    "modelParameters",
  );
  const known = fields();
  const number = (key: string): number | undefined => {
    const own = entries.get(key);
    const field = known.find(({ path }) => path === `modelParameters.${key}`);
    if (!own || !field) return undefined;
    const { least = -Infinity, most = Infinity, type } = field;
    return reader.number(own.value, key, { least, most, whole: type === "integer" });
  };
  const values = {
    maxNewTokens:
      number("maxTokens") ?? number("maxCompletionTokens") ?? number("max_completion_tokens"),
    temperature: number("temperature"),
    topP: number("topP"),
    topK: number("topK"),
    repetitionPenalty: number("repetitionPenalty"),
    seed: number("seed"),
    stop: parseStop(reader, entries.get("stop")),
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

function parseStop(reader: YamlReader, entry: Entry | undefined): string[] | undefined {
  if (!entry) return undefined;
  const nodes = reader.isList(entry.value) ? reader.items(entry.value, "stop") : [entry.value];
  return nodes.map((node) => reader.string(node, "stop")).filter((text) => text !== undefined);
}

function parseMessages(reader: YamlReader, entry: Entry | undefined): PromptMessage[] {
  const nodes = entry ? reader.items(entry.value, "messages") : [];
  const isNone = entry === undefined || reader.isList(entry.value);
  if (nodes.length === 0 && isNone) {
    const at = entry?.keySpan ?? { start: 0, end: 1 };
    reader.report(t("A prompt file needs messages: a list of role and content."), at, "error");
  }
  return nodes.flatMap((node) => {
    const own = byKey(reader, reader.entries(node, t("A message")), "messages[]");
    const [role, content] = [own.get("role"), own.get("content")];
    if (!role || !content) {
      reader.report(t("A message needs role and content."), node, "error");
      return [];
    }
    const who = reader.string(role.value, "role")?.toLowerCase();
    const text = reader.string(content.value, "content");
    const known = roles.find((each) => each === who);
    if (!known) {
      reader.report(t("“{0}” is no role: {1}.", who ?? "", roles.join(", ")), role.value, "error");
    }
    if (!known || text === undefined) return [];
    return [{ role: known, content: text, span: reader.spanOf(content.value) }];
  });
}

function parseRows(reader: YamlReader, node: Node | null): TestRow[] {
  return reader.items(node, "testData").map((item, index): TestRow => {
    const entries = reader.entries(item, t("A row of testData"));
    const values: Record<string, string> = {};
    for (const { key, value } of entries) {
      if (key !== "expectedFrom") values[key] = asText(reader.plain(value));
    }
    const from = entries.find(({ key }) => key === "expectedFrom");
    const expectedFrom = Object.fromEntries(
      reader
        .entries(from?.value ?? null, "expectedFrom")
        .map(({ key, value }) => [key, asText(reader.plain(value))]),
    );
    return {
      index,
      values,
      keys: entries
        .filter(({ key }) => key !== "expectedFrom")
        .map(({ key, keySpan }) => ({ key, span: keySpan })),
      expected: values["expected"] ?? null,
      expectedFrom,
      span: reader.spanOf(item),
    };
  });
}

/** A value of a row as it is put into a prompt. */
export function asText(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function parseFormat(
  reader: YamlReader,
  entry: Entry | undefined,
  schema: object | null,
): PromptFile["format"] {
  if (!entry) return "text";
  const given = reader.string(entry.value, "responseFormat");
  const format = formats.find((each) => each === given);
  if (!format) {
    const text = t("“{0}” is no response format: {1}.", given ?? "", formats.join(", "));
    reader.report(text, entry.value, "error");
  }
  if (format === "json_schema" && !schema) {
    reader.report(t("json_schema needs a jsonSchema beside it."), entry.value, "error");
  }
  return format ?? "text";
}

function parseColumns(reader: YamlReader, entry: Entry | undefined): ColumnRef[] {
  if (!entry) return [];
  return reader.items(entry.value, "graft.adapters").flatMap((item) => {
    const nodes = reader.isList(item) ? reader.items(item, "graft.adapters") : [item];
    const parts = nodes.flatMap((node) => parseAdapter(reader, node));
    if (parts.length === 0) return [];
    return [{ label: columnLabel(parts), parts, span: reader.spanOf(item) }];
  });
}

function parseAdapter(reader: YamlReader, node: Node): AdapterRef[] {
  const span = reader.spanOf(node);
  if (!reader.isMapping(node)) {
    const adapter = reader.string(node, t("An adapter"));
    return adapter === undefined ? [] : [{ adapter, weight: 1, span }];
  }
  const own = byKey(reader, reader.entries(node, t("An adapter")), "graft.adapters[]");
  const [named, given] = [own.get("adapter"), own.get("weight")];
  const adapter = named && reader.string(named.value, "adapter");
  if (!named || adapter === undefined) {
    reader.report(t("An adapter needs “adapter”: its name or its folder."), node, "error");
    return [];
  }
  const range = { least: -Infinity, most: Infinity };
  const weight = given ? (reader.number(given.value, "weight", range) ?? 1) : 1;
  return [{ adapter, weight, span: reader.spanOf(named.value) }];
}

/** Variables that a row leaves without a value, and values that nothing asks for. */
function checkVariables(reader: YamlReader, file: Omit<PromptFile, "problems">): void {
  const used = new Map<string, PromptMessage>();
  for (const message of file.messages) {
    for (const { name } of variablesOf(message.content)) used.set(name, message);
  }
  for (const [name, message] of used) {
    const missing = file.rows.filter(({ values }) => !Object.hasOwn(values, name));
    if (missing.length === 0) continue;
    const span = findVariable(reader.text, message, name);
    if (!file.hasTestData) {
      reader.report(t("“{0}” has no value: there is no testData.", name), span, "warning");
    } else if (missing.length === file.rows.length) {
      reader.report(t("“{0}” has no value in any row of testData.", name), span, "warning");
    } else {
      for (const row of missing) {
        reader.report(t("This row has no value for “{0}”.", name), row.span, "warning");
      }
    }
  }
  const inRules = file.evaluators.flatMap(({ rule }) =>
    rule.kind === "string" ? variablesOf(rule.value).map(({ name }) => name) : [],
  );
  const told = new Set<string>([...used.keys(), ...inRules, "expected"]);
  for (const { keys } of file.rows) {
    for (const { key, span } of keys) {
      if (told.has(key)) continue;
      told.add(key);
      reader.report(t("No message uses “{0}”.", key), span, "info");
    }
  }
}

/** Where a variable stands in the file's text, whatever quotes or blocks its message is in. */
function findVariable(
  text: string,
  { span }: PromptMessage,
  name: string,
): { start: number; end: number } {
  const found = variablesOf(text.slice(span.start, span.end)).find((each) => each.name === name);
  if (!found) return span;
  return { start: span.start + found.start, end: span.start + found.end };
}
