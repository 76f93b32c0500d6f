import type { Evaluator } from "./evaluators.ts";
import type { Problem, Span } from "./problem.ts";

/** What a `*.prompt.yml` says: GitHub Models' format, and Graft's own part under `graft`. */
export interface PromptFile {
  readonly name: string;
  readonly description: string;
  /** The base: a name, a path, or an id; other tools' ids are kept and not looked for. */
  readonly model: { readonly id: string; readonly span: Span } | null;
  readonly parameters: ModelParameters;
  readonly format: "text" | "json_object" | "json_schema";
  /** JSON schema of the answer, where the file brings one. */
  readonly schema: object | null;
  readonly messages: readonly PromptMessage[];
  /** At least one: a file without test data is one row without variables. */
  readonly rows: readonly TestRow[];
  readonly hasTestData: boolean;
  readonly evaluators: readonly Evaluator[];
  readonly columns: readonly ColumnRef[];
  readonly problems: readonly Problem[];
}

export interface ModelParameters {
  readonly maxNewTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
}

export interface PromptMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
  readonly span: Span;
}

export interface TestRow {
  readonly index: number;
  readonly values: Readonly<Record<string, string>>;
  readonly keys: readonly { readonly key: string; readonly span: Span }[];
  readonly expected: string | null;
  /** What single columns should answer, by an adapter's name or "base". */
  readonly expectedFrom: Readonly<Record<string, string>>;
  readonly span: Span;
}

/** An adapter as a file names it: by its name or by a path from the file's folder. */
export interface AdapterRef {
  readonly adapter: string;
  readonly weight: number;
  readonly span: Span;
}

/** Adapters that answer together. */
export interface ColumnRef {
  readonly label: string;
  readonly parts: readonly AdapterRef[];
  readonly span: Span;
}

/** The name of the column without adapters, wherever columns are named. */
export const baseColumn = "base";

/** The name of an adapter in a reference: its own, or the last part of its path. */
export function adapterName(reference: string): string {
  return reference.split(/[/\\]/).filter(Boolean).at(-1) ?? reference;
}

/** "lora-pirate", "lora-pirate ×0.5 + lora-json". */
export function columnLabel(parts: readonly { adapter: string; weight: number }[]): string {
  const label = ({ adapter, weight }: { adapter: string; weight: number }): string =>
    weight === 1 ? adapterName(adapter) : `${adapterName(adapter)} ×${weight}`;
  return parts.length === 0 ? baseColumn : parts.map(label).join(" + ");
}

/** A row as a person tells it from others: its first variable, in one line. */
export function rowLabel(row: TestRow, limit = 60): string {
  const [first] = row.keys.filter(({ key }) => key !== "expected");
  const text = first ? (row.values[first.key] ?? "") : "";
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= limit ? line : `${line.slice(0, limit - 1).trimEnd()}…`;
}

/** What a row expects of a column, or null. */
export function expectedOf(row: TestRow, names: readonly string[]): string | null {
  const own = names.find((name) => Object.hasOwn(row.expectedFrom, name));
  return own === undefined ? row.expected : (row.expectedFrom[own] ?? null);
}
