import { readText } from "../fields.ts";
import type { FieldNames, RecordFormat } from "./recordFormat.ts";

/** Texts that are learned whole. */
export function plain(fields: FieldNames): RecordFormat {
  const name = fields.text ?? "text";
  return {
    format: "text",
    task: "causal",
    fields: { text: name },
    read: (record) => {
      const text = readText(record, name);
      return typeof text === "string" ? { kind: "text", text } : text;
    },
  };
}
