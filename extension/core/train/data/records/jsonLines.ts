import { jsonRecord } from "./jsonRecord.ts";
import { type Line, lineSplitter } from "./lines.ts";
import type { OnProblem, RawRecord, RecordSplitter } from "./record.ts";

/** JSON Lines: a record a line; empty lines are none. */
export function jsonLines(onProblem: OnProblem): RecordSplitter & { waiting(): number } {
  const lines = lineSplitter();
  const read = (line: Line): RawRecord[] => {
    const { text, number } = line;
    if (text.trim() === "") return [];
    const record = jsonRecord(text, { line: number, column: 1 }, onProblem);
    return record ? [record] : [];
  };
  return {
    push: (text) => lines.push(text).flatMap(read),
    end: () => lines.end().flatMap(read),
    waiting: lines.waiting,
  };
}
