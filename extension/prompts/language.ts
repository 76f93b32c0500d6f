import { t } from "@vscode/l10n";
import { type Field, fields } from "./fields.ts";
import { baseColumn, type PromptFile } from "./promptFile.ts";
import { variablesOf } from "./template.ts";
import { type YamlPlace, yamlPlace } from "./yamlPath.ts";

/** What a file may name. */
export interface Names {
  readonly bases: readonly string[];
  readonly adapters: readonly string[];
}

export interface Suggestion {
  readonly label: string;
  readonly insert: string;
  readonly detail: string;
  readonly kind: "key" | "value" | "variable" | "model";
  /** How many characters before the place are replaced. */
  readonly replaces: number;
}

/** What may be written at an offset. */
export function suggest(
  text: string,
  offset: number,
  { file, names }: { file: PromptFile; names: Names },
): Suggestion[] {
  const braces = /\{\{\s*([\w.-]*)$/.exec(text.slice(Math.max(0, offset - 80), offset));
  if (braces) return suggestVariables(file, braces[1] ?? "", text.slice(offset).startsWith("}}"));
  const place = yamlPlace(text, offset);
  if (!place) return [];
  const { prefix } = place;
  const models = (list: readonly string[], detail: string): Suggestion[] =>
    list.map((label) => ({ label, insert: label, detail, kind: "model", replaces: prefix.length }));
  if (place.isValue) return suggestValues(place, names, models);
  const list = place.parent.replace(/\[\]$/, "");
  if (/(^|\.)adapters\[\]$/.test(place.parent) && place.key === null) {
    const isColumn = list === "graft.adapters";
    return [
      ...models(names.adapters, t("adapter")),
      ...(isColumn ? [] : models([baseColumn], t("the bare base"))),
      ...(isColumn ? suggestKeys(place, file) : []),
    ];
  }
  return suggestKeys(place, file);
}

function suggestVariables(file: PromptFile, typed: string, isClosed: boolean): Suggestion[] {
  const keys = new Set(file.rows.flatMap(({ keys: own }) => own.map(({ key }) => key)));
  return [...keys].map((key) => ({
    label: key,
    insert: isClosed ? key : `${key}}}`,
    detail: t("variable of testData"),
    kind: "variable",
    replaces: typed.length,
  }));
}

function suggestValues(
  { parent, key, prefix }: YamlPlace,
  { bases, adapters }: Names,
  models: (list: readonly string[], detail: string) => Suggestion[],
): Suggestion[] {
  const path = parent === "" ? (key ?? "") : `${parent}.${key}`;
  if (path === "model") return models(bases, t("base model"));
  if (path.endsWith(".adapter")) return models(adapters, t("adapter"));
  const field = fieldAt(path);
  const values = field?.type === "boolean" ? ["true", "false"] : (field?.values ?? []);
  return values.map((label) => ({
    label,
    insert: label,
    detail: "",
    kind: "value",
    replaces: prefix.length,
  }));
}

function suggestKeys({ parent, siblings, prefix }: YamlPlace, file: PromptFile): Suggestion[] {
  const start = parent === "" ? "" : `${parent}.`;
  const known = fields()
    .filter(({ path, isUnused }) => path.startsWith(start) && !isUnused)
    .map((field) => ({ ...field, name: field.path.slice(start.length) }))
    .filter(({ name }) => !/[.[]/.test(name) && !siblings.includes(name));
  const keys = known.map(({ name, meaning, type, isOwn }): Suggestion => ({
    label: name,
    insert: `${name}:${type === "object" || type === "array" ? "" : " "}`,
    detail: isOwn ? t("{0} Graft's own.", meaning) : meaning,
    kind: "key",
    replaces: prefix.length,
  }));
  if (parent !== "testData[]") return keys;
  const used = new Set(
    file.messages.flatMap(({ content }) => variablesOf(content).map(({ name }) => name)),
  );
  const missing = [...used].filter((name) => !siblings.includes(name));
  const variables = missing.map((name): Suggestion => ({
    label: name,
    insert: `${name}: `,
    detail: t("variable of the messages"),
    kind: "variable",
    replaces: prefix.length,
  }));
  return [...variables, ...keys];
}

function fieldAt(path: string): Field | undefined {
  return fields().find((field) => field.path === path);
}

/** What is known about the word at an offset, as Markdown; null for nothing. */
export function explain(text: string, offset: number, file: PromptFile): string | null {
  const variable = variablesOf(lineAt(text, offset).text).find(({ start, end }) => {
    const at = offset - lineAt(text, offset).start;
    return at >= start && at <= end;
  });
  if (variable) return explainVariable(variable.name, file);
  const word = wordAt(text, offset);
  const place = yamlPlace(text, word.end);
  if (!place || place.isValue || place.key === null || word.text !== place.key) return null;
  const path = place.parent === "" ? place.key : `${place.parent}.${place.key}`;
  const field = fieldAt(path);
  if (!field) return null;
  const notes = [
    field.meaning,
    ...(field.values ? [field.values.map((value) => `\`${value}\``).join(" · ")] : []),
    ...(field.least !== undefined && field.most !== undefined
      ? [t("{0} to {1}", field.least, field.most)]
      : []),
    ...(field.isOwn ? [t("*Graft's own; other tools pass over it.*")] : []),
  ];
  return [`**${place.key}**`, ...notes].join("\n\n");
}

function explainVariable(name: string, { rows, hasTestData }: PromptFile): string {
  const values = rows.flatMap(({ values: own }) =>
    Object.hasOwn(own, name) ? [own[name] ?? ""] : [],
  );
  if (!hasTestData || values.length === 0) return t("“{0}” has no value in testData.", name);
  const shown = values
    .slice(0, 5)
    .map((value) => `- ${value.replaceAll(/\s+/g, " ").slice(0, 80)}`);
  const more = values.length - shown.length;
  const lines = more > 0 ? [...shown, `- ${t("and {0} more", more)}`] : shown;
  return [`**${name}**`, lines.join("\n")].join("\n\n");
}

function lineAt(text: string, offset: number): { text: string; start: number } {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const end = text.indexOf("\n", offset);
  return { text: text.slice(start, end === -1 ? text.length : end), start };
}

function wordAt(text: string, offset: number): { text: string; end: number } {
  const start = offset - (/[\w.-]*$/.exec(text.slice(0, offset))?.[0].length ?? 0);
  const own = /^[\w.-]*/.exec(text.slice(start))?.[0] ?? "";
  return { text: own, end: start + own.length };
}
