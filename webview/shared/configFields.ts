import type { ConfigField } from "../../extension/protocol/reportContract.ts";

const longValue = 240;

/** A field's value as text: a list of names without JSON's noise, anything nested as JSON. */
export function configValue(value: unknown): { start: string; rest: string; isQuiet: boolean } {
  const shown = valueText(value);
  const isQuiet =
    value === null ||
    value === undefined ||
    (typeof value === "object" && Object.keys(value).length === 0);
  return { start: shown.slice(0, longValue), rest: shown.slice(longValue), isQuiet };
}

function valueText(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value === "" ? '""' : value;
  if (Array.isArray(value) && value.length > 0 && value.every((item) => isPlain(item))) {
    return value.join(", ");
  }
  return JSON.stringify(value) ?? "";
}

function isPlain(item: unknown): boolean {
  return (
    typeof item === "number" || (typeof item === "string" && item !== "" && !item.includes(","))
  );
}

/** Fields whose name, value or meaning holds the query; in file order. */
export function matchFields(
  fields: readonly ConfigField[],
  filter: { query: string; onlyChanged: boolean },
): ConfigField[] {
  const query = filter.query.trim().toLowerCase();
  return fields.filter(
    (field) =>
      (!filter.onlyChanged || field.changed) &&
      (query === "" ||
        [field.field, valueText(field.value), field.meaning].some((part) =>
          part.toLowerCase().includes(query),
        )),
  );
}
