/** What fields of a record hold; cells of tables are texts, in which lists and objects stand as JSON. */
import { t } from "@vscode/l10n";
import { isObject, type JsonObject } from "../../base/json.ts";
import { type Fault, fault, type Label } from "./example.ts";

export function readText(record: JsonObject, name: string): string | Fault {
  const value = record[name];
  if (value === undefined || value === null) return fault([], t("“{0}” is missing.", name));
  if (typeof value !== "string") return fault([name], t("“{0}” has to be text.", name));
  if (value.trim() === "") return fault([name], t("“{0}” is empty.", name));
  return value;
}

export function optionalText(record: JsonObject, name: string | undefined): string {
  const value = name === undefined ? undefined : record[name];
  return typeof value === "string" ? value : "";
}

export function isLabel(value: unknown): value is Label {
  return (
    typeof value === "string" ||
    (typeof value === "number" && Number.isInteger(value) && value >= 0)
  );
}

/** One label or number, or a list of them; in a cell of a table a list is JSON. */
export function readLabel(record: JsonObject, name: string): Label | readonly Label[] | Fault {
  const value = record[name];
  if (value === undefined || value === null || value === "")
    return fault([], t("“{0}” is missing.", name));
  if (typeof value === "boolean") return String(value);
  const isCell = typeof value === "string" && value.startsWith("[");
  const list = Array.isArray(value) || isCell ? listOf(value) : null;
  if (list?.every(isValue)) return list;
  if (isValue(value)) return value;
  return fault([name], t("“{0}” has to be a label, a name or a number.", name));
}

function isValue(value: unknown): value is Label {
  return typeof value === "string" || (typeof value === "number" && Number.isFinite(value));
}

export function listOf(value: unknown): unknown[] | null {
  if (Array.isArray(value)) return value as unknown[];
  if (typeof value !== "string") return null;
  try {
    const parsed = JSON.parse(value) as unknown;
    return Array.isArray(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

export function objectOf(value: unknown): JsonObject | undefined {
  if (isObject(value)) return value;
  if (typeof value !== "string" || !value.startsWith("{")) return undefined;
  try {
    const parsed = JSON.parse(value) as unknown;
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
