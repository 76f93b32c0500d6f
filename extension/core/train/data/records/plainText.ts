import { lineSplitter, plainRecord, type Line } from "./lines.ts";
import type { RawRecord, RecordSplitter } from "./record.ts";

/** What one text of a .txt file is. */
export type TextUnit = "line" | "paragraph" | "document";

/** A plain text file: a record is a line, what stands between empty lines, or all of it. */
export function plainText(unit: TextUnit): RecordSplitter & { waiting(): number } {
  const lines = lineSplitter();
  let open: string[] = [];
  let [first, length] = [1, 0];
  const close = (): RawRecord[] => {
    const text = open.join("\n").replace(/\n+$/, "");
    const records = text.trim() === "" ? [] : [plainRecord({ text }, first)];
    open = [];
    length = 0;
    return records;
  };
  const read = (line: Line): RawRecord[] => {
    const isEmpty = line.text.trim() === "";
    if (open.length === 0) {
      if (isEmpty) return [];
      first = line.number;
    }
    if (isEmpty && unit === "paragraph") return close();
    open.push(line.text);
    length += line.text.length;
    return unit === "line" ? close() : [];
  };
  return {
    push: (text) => lines.push(text).flatMap(read),
    end: () => [...lines.end().flatMap(read), ...close()],
    waiting: () => length + lines.waiting(),
  };
}
