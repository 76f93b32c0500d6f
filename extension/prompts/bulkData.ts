import { t } from "@vscode/l10n";
import Papa from "papaparse";
import { badFile } from "../core/base/errors.ts";
import { asText } from "./parse.ts";
import type { PromptFile, PromptMessage } from "./promptFile.ts";
import { roles } from "./fields.ts";
import { type Rendered, renderPrompt, variablesOf } from "./template.ts";

/** A prompt of a bulk run, and where it stands in its file. */
export interface BulkRow {
  readonly index: number;
  /** From 1, as an editor counts. */
  readonly line: number;
  readonly values: Readonly<Record<string, string>>;
  readonly messages: readonly { role: PromptMessage["role"]; content: string }[];
  readonly expected: string | null;
}

export type DataKind = "jsonl" | "csv";

/** What a file's name says that it holds; undefined for others. */
export function dataKind(name: string): DataKind | undefined {
  if (/\.(jsonl|ndjson)$/i.test(name)) return "jsonl";
  return /\.(csv|tsv)$/i.test(name) ? "csv" : undefined;
}

interface RawRow {
  line: number;
  values: Record<string, unknown>;
}

/**
 * Prompts of a JSONL or CSV file: of a template, whose variables are its columns, else of a column
 * "messages" or "prompt".
 * @param file the name, for messages
 * @throws bad-file, with the line, for what cannot be read or makes no prompt
 */
export function readBulkData(
  text: string,
  { file, kind, template }: { file: string; kind: DataKind; template?: PromptFile | undefined },
): BulkRow[] {
  const raw = kind === "csv" ? readCsv(text, file) : readJsonLines(text, file);
  if (raw.length === 0) throw badFile(file, t("It holds no prompt."));
  return raw.map(({ line, values }, index) => {
    const plain = Object.fromEntries(Object.entries(values).map(([k, v]) => [k, asText(v)]));
    const at = { file, line };
    const messages = template ? fromTemplate(template, plain, at) : ownMessages(values, at);
    return { index, line, values: plain, messages, expected: plain["expected"] ?? null };
  });
}

/** The prompt of a row; a base without a chat template reads the messages as one text. */
export function promptOf({ messages }: BulkRow, isChat: boolean): Rendered {
  if (isChat) return { kind: "chat", messages: messages.map((each) => ({ ...each })) };
  return { kind: "text", text: messages.map(({ content }) => content).join("\n\n") };
}

/** Columns that make a prompt by themselves. */
export function hasOwnPrompts(text: string, kind: DataKind): boolean {
  const first = kind === "csv" ? readCsv(text, "")[0] : readJsonLines(text, "")[0];
  return first !== undefined && ("prompt" in first.values || "messages" in first.values);
}

function readJsonLines(text: string, file: string): RawRow[] {
  return text.split(/\r?\n/).flatMap((line, i) => {
    if (line.trim() === "") return [];
    const at = i + 1;
    let value: unknown;
    try {
      value = JSON.parse(i === 0 ? line.replace(/^\uFEFF/, "") : line) as unknown;
    } catch (error) {
      throw atLine({ file, line: at }, t("is no JSON: {0}", (error as Error).message));
    }
    if (typeof value === "string") return [{ line: at, values: { prompt: value } }];
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw atLine({ file, line: at }, t("each line has to be an object or a text."));
    }
    return [{ line: at, values: value as Record<string, unknown> }];
  });
}

function readCsv(text: string, file: string): RawRow[] {
  const rows: RawRow[] = [];
  let line = 1;
  const { data, errors } = Papa.parse<string[]>(text.replace(/^\uFEFF/, ""), {
    skipEmptyLines: false,
  });
  // A row of one column has nothing to find the delimiter by, and that is no fault.
  const wrong = errors.find(({ code }) => code !== "UndetectableDelimiter");
  const places = data.map((cells) => {
    const at = line;
    line += 1 + cells.join("").split("\n").length - 1;
    return at;
  });
  if (wrong) throw atLine({ file, line: places[wrong.row ?? 0] ?? 1 }, wrong.message);
  const [header = [], ...rest] = data;
  const names = header.map((name) => name.trim());
  rest.forEach((cells, i) => {
    const at = places[i + 1] ?? 1;
    if (cells.length === 1 && cells[0]?.trim() === "") return;
    if (cells.length !== names.length) {
      throw atLine(
        { file, line: at },
        t("has {0} cells, the first line names {1} columns.", cells.length, names.length),
      );
    }
    rows.push({ line: at, values: Object.fromEntries(names.map((name, c) => [name, cells[c]])) });
  });
  return rows;
}

function fromTemplate(
  template: PromptFile,
  values: Record<string, string>,
  at: { file: string; line: number },
): BulkRow["messages"] {
  const used = template.messages.flatMap(({ content }) => variablesOf(content));
  const missing = used.find(({ name }) => !Object.hasOwn(values, name));
  if (missing) {
    throw atLine(at, t("there is no column “{0}”, which the prompt file asks for.", missing.name));
  }
  const prompt = renderPrompt(template, values, { isChat: true });
  return prompt.kind === "chat" ? prompt.messages : [];
}

function ownMessages(
  values: Record<string, unknown>,
  at: { file: string; line: number },
): BulkRow["messages"] {
  const { prompt, messages } = values;
  if (messages !== undefined && messages !== "") return readMessages(messages, at);
  if (typeof prompt === "string" && prompt.trim() !== "") {
    return [{ role: "user", content: prompt }];
  }
  throw atLine(at, t("there is no “prompt” and no “messages”. Choose a prompt file to fill in."));
}

/** A list of role and content, in a CSV cell as JSON. */
function readMessages(given: unknown, at: { file: string; line: number }): BulkRow["messages"] {
  let list = given;
  if (typeof given === "string") {
    try {
      list = JSON.parse(given) as unknown;
    } catch (error) {
      throw atLine(at, t("“messages” is no JSON: {0}", (error as Error).message));
    }
  }
  const wrong = (): Error =>
    atLine(at, t("“messages” has to be a list of role ({0}) and content.", roles.join(", ")));
  if (!Array.isArray(list) || list.length === 0) throw wrong();
  return list.map((each: unknown) => {
    const { role, content } = (each ?? {}) as { role?: unknown; content?: unknown };
    const known = roles.find((name) => name === role);
    if (!known || typeof content !== "string") throw wrong();
    return { role: known, content };
  });
}

function atLine({ file, line }: { file: string; line: number }, problem: string): Error {
  return badFile(file, t("line {0}: {1}", line, problem));
}
