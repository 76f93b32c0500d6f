import { t } from "@vscode/l10n";
import Papa from "papaparse";
import type { BulkRecord } from "./bulk.ts";

export const exportFormats = ["jsonl", "csv", "md"] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** A row of the data with what each column answered. */
interface Line {
  readonly values: Readonly<Record<string, string>>;
  readonly answers: ReadonlyMap<string, string>;
}

/** The results of a bulk run: a line a prompt, beside its values a column for each set of adapters. */
export function exportResults(records: readonly BulkRecord[], format: ExportFormat): string {
  const { lines, keys, columns } = pivot(records);
  switch (format) {
    case "jsonl":
      return lines
        .map(({ values, answers }) => ({ ...values, answers: Object.fromEntries(answers) }))
        .map((line) => `${JSON.stringify(line)}\n`)
        .join("");
    case "csv": {
      const data = lines.map(({ values, answers }) => [
        ...keys.map((key) => values[key] ?? ""),
        ...columns.map((column) => answers.get(column) ?? ""),
      ]);
      // A variable may be called as a column is.
      const names = columns.map((name) => (keys.includes(name) ? `${name} (answer)` : name));
      return `${Papa.unparse([[...keys, ...names], ...data], { newline: "\n" })}\n`;
    }
    case "md":
      return markdownTable(
        [...keys, ...columns],
        lines.map(({ values, answers }) => [
          ...keys.map((key) => values[key] ?? ""),
          ...columns.map((column) => answers.get(column) ?? ""),
        ]),
      );
    default:
      return format satisfies never;
  }
}

function pivot(records: readonly BulkRecord[]): {
  lines: Line[];
  keys: string[];
  columns: string[];
} {
  const rows = new Map<number, { values: Line["values"]; answers: Map<string, string> }>();
  const keys = new Set<string>();
  const columns = new Set<string>();
  for (const { row, values, adapters, output, error } of records) {
    const line = rows.get(row) ?? { values, answers: new Map<string, string>() };
    line.answers.set(adapters, error === undefined ? output : t("No answer: {0}", error));
    rows.set(row, line);
    for (const key of Object.keys(values)) keys.add(key);
    columns.add(adapters);
  }
  const lines = [...rows].sort(([a], [b]) => a - b).map(([, line]) => line);
  return { lines, keys: [...keys], columns: [...columns] };
}

/** A table of GitHub's Markdown; a cell cannot break out of it. */
export function markdownTable(header: readonly string[], rows: readonly string[][]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  const rule = `| ${header.map(() => "---").join(" | ")} |`;
  return `${[line(header), rule, ...rows.map(line)].join("\n")}\n`;
}

/** Text as it stands: nothing of it is taken for Markdown or HTML. */
function cell(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll(/[\\`*_{}[\]|~$#]/g, "\\$&")
    .trim()
    .replaceAll(/\r?\n/g, "<br>");
}
