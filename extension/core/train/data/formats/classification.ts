import { readLabel, readText } from "../fields.ts";
import type { FieldNames, RecordFormat } from "./recordFormat.ts";

/** A text, or a pair of texts, with its label or labels. */
export function classification(fields: FieldNames): RecordFormat {
  const [text, label] = [fields.text ?? "text", fields.label ?? "label"];
  return {
    format: "classification",
    task: "sequence-classification",
    fields: { text, label, ...(fields.pair !== undefined && { pair: fields.pair }) },
    read: (record) => {
      const own = readText(record, text);
      if (typeof own !== "string") return own;
      const value = readLabel(record, label);
      if (typeof value === "object" && "kind" in value) return value;
      const pair = fields.pair === undefined ? undefined : readText(record, fields.pair);
      if (typeof pair === "object") return pair;
      return {
        kind: "classification",
        text: own,
        label: value,
        ...(pair !== undefined && { pair }),
      };
    },
  };
}
