import { t } from "@vscode/l10n";
import { isObject } from "../../base/json.ts";
import { type Fault, fault } from "./example.ts";

/** Names under which records say which of an adapter's tasks they are of. */
export const taskNames = ["task", "task_id", "task_ids"] as const;

/**
 * A record's task: a whole number from 0, in a cell of a table as text. Null where it has none: a usual
 * name that holds something else is a field like any other.
 * @param name the field that was chosen for it, which has to hold one
 */
export function readTask(record: unknown, name?: string): number | Fault | null {
  if (!isObject(record)) return null;
  for (const each of name === undefined ? taskNames : [name]) {
    const value = record[each];
    const isDigits = typeof value === "string" && /^\d+$/.test(value);
    const number = isDigits ? Number(value) : value;
    if (typeof number === "number" && Number.isSafeInteger(number) && number >= 0) return number;
  }
  if (name === undefined) return null;
  return fault([name], t("“{0}” has to be the number of a task: a whole number from 0.", name));
}
