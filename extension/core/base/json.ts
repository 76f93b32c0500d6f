import { t } from "@vscode/l10n";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import type { z } from "zod";
import { badFile, GraftError, notFound } from "./errors.ts";

/** The largest JSON file read whole: tokenizers of 256 k entries take 35 MB, nothing real takes 256. */
const largestJson = 256 * 1024 * 1024;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export type JsonObject = Record<string, unknown>;

/** Reads a JSON object; says file and place when it is none. */
export async function readJsonObject(file: string, signal?: AbortSignal): Promise<JsonObject> {
  return parseJsonObject(await readText(file, signal), file);
}

/** Reads a text file of bounded size. */
export async function readText(file: string, signal?: AbortSignal): Promise<string> {
  const bytes = await readFile(file, { signal }).catch((error: NodeJS.ErrnoException) => {
    throw readingError(file, error);
  });
  return decodeText(bytes, file);
}

/** The same at once, for lists of thousands of small files: awaiting each takes longer than reading it. */
export function readTextNow(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw readingError(file, error as NodeJS.ErrnoException);
  }
  return decodeText(bytes, file);
}

function readingError(file: string, error: NodeJS.ErrnoException): Error {
  if (error.name === "AbortError") return error;
  const isNowhere = error.code === "ENOENT" || error.code === "ENOTDIR";
  if (isNowhere) return notFound(path.basename(file), file);
  return badFile(file, t("cannot be read ({0})", error.code ?? error.message));
}

function decodeText(bytes: Buffer, file: string): string {
  if (bytes.length > largestJson)
    throw badFile(file, t("is {0} bytes, too large for JSON", bytes.length));
  try {
    return utf8.decode(bytes);
  } catch {
    throw badFile(file, t("is not UTF-8"), t("Save it as UTF-8."));
  }
}

/** @param isPython also takes NaN and Infinity, which Python's json writes and reads */
export function parseJsonObject(
  text: string,
  file: string,
  { isPython = false }: { isPython?: boolean } = {},
): JsonObject {
  if (text.startsWith("\uFEFF")) {
    throw badFile(file, t("begins with a byte order mark"), t("Save it as UTF-8 without BOM."));
  }
  checkDepth(text, file);
  let value: unknown;
  try {
    // A reviver is called for every value, so it is given only where there is something for it.
    const isMarked = isPython && /NaN|Infinity/.test(text);
    value = isMarked ? JSON.parse(withPythonNumbers(text), fromPython) : JSON.parse(text);
  } catch (error) {
    throw badFile(file, t("is not JSON: {0}", (error as Error).message));
  }
  if (!isObject(value)) throw badFile(file, t("is not a JSON object"));
  return value;
}

/** What Python's json writes for numbers that JSON has not. */
const pythonNumbers: Readonly<Record<string, number>> = {
  NaN,
  Infinity,
  "-Infinity": -Infinity,
};

/** Marks them, for JSON.parse stops at them; no other text begins so. */
const mark = "\u0000python:";

function withPythonNumbers(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (part) =>
    part.startsWith('"') ? part : JSON.stringify(mark + part),
  );
}

function fromPython(_key: string, value: unknown): unknown {
  if (typeof value !== "string" || !value.startsWith(mark)) return value;
  return pythonNumbers[value.slice(mark.length)];
}

/** Deeper than any real file: what reads JSON step by step would run out of stack on more. */
const deepest = 200;

/** @throws bad-file when brackets nest too deep */
export function checkDepth(text: string, file: string): void {
  let depth = 0;
  let isInString = false;
  // One plain loop: a tokenizer has 100,000 strings, each of which would cost a search.
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (isInString) {
      if (code === backslash) i++;
      else if (code === quote) isInString = false;
    } else if (code === quote) isInString = true;
    else if (code === 0x7b || code === 0x5b) depth++;
    else if (code === 0x7d || code === 0x5d) depth--;
    if (depth > deepest) throw badFile(file, t("nests deeper than {0} levels", deepest));
  }
}

const [quote, backslash] = [0x22, 0x5c];

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Validates a parsed file against a schema; the error names the file and the field. */
export function parseFields<T>(schema: z.ZodType<T>, value: unknown, file: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue?.path.join(".") ?? "";
  const found = issue ? shorten(at(value, issue.path)) : "";
  throw new GraftError(
    "bad-file",
    t('{0}: field "{1}" is {2}. {3}', file, field, found, issue ? wanted(issue) : ""),
    {
      file,
      field,
    },
  );
}

/** What a field has to be, in words for people. */
function wanted(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return t("It has to be {0}.", typeName(issue.expected));
    case "invalid_value":
      return t("It has to be one of {0}.", issue.values.map((value) => String(value)).join(", "));
    case "invalid_union":
      return t("It has another form than expected. Correct it, or leave it out.");
    default:
      return /[.!?]$/.test(issue.message) ? issue.message : `${issue.message}.`;
  }
}

function typeName(type: string): string {
  const names: Readonly<Record<string, () => string>> = {
    string: () => t("text"),
    number: () => t("a number"),
    int: () => t("a whole number"),
    boolean: () => t("true or false"),
    array: () => t("a list"),
    object: () => t("an object"),
    record: () => t("an object"),
  };
  return names[type]?.() ?? type;
}

function at(value: unknown, keys: readonly PropertyKey[]): unknown {
  return keys.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown> | null | undefined)?.[key],
    value,
  );
}

function shorten(value: unknown): string {
  if (value === undefined) return t("missing");
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
