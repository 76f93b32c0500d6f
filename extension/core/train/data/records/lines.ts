import type { RawRecord } from "./record.ts";

export interface Line {
  readonly number: number;
  readonly text: string;
}

/** Cuts pieces of text into lines, without their ends. */
export function lineSplitter(): { push(text: string): Line[]; end(): Line[]; waiting(): number } {
  let rest: string[] = [];
  let length = 0;
  let number = 1;
  const finish = (last: string): Line => {
    const text = rest.length === 0 ? last : rest.join("") + last;
    rest = [];
    length = 0;
    return { number: number++, text: text.endsWith("\r") ? text.slice(0, -1) : text };
  };
  return {
    push: (text) => {
      const lines: Line[] = [];
      let start = 0;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
        lines.push(finish(text.slice(start, end)));
        start = end + 1;
      }
      rest.push(text.slice(start));
      length += text.length - start;
      return lines;
    },
    end: () => (length > 0 ? [finish("")] : []),
    waiting: () => length,
  };
}

/** A record whose parts have no places of their own. */
export function plainRecord(value: unknown, line: number): RawRecord {
  return { line, column: 1, value, placeOf: () => ({ line, column: 1 }) };
}
