/** Places in a file, and what is wrong there. */

/** Offsets into the text: from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Problem {
  readonly message: string;
  readonly span: Span;
  readonly severity: "error" | "warning" | "info";
}

/** Line and column as people count them, from 1. */
export function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  const line = before.split("\n").length;
  return { line, column: offset - (before.lastIndexOf("\n") + 1) + 1 };
}

/** "file.prompt.yml:3:7: what is wrong". */
export function sayProblem(file: string, text: string, { message, span }: Problem): string {
  const { line, column } = placeOf(text, span.start);
  return `${file}:${line}:${column}: ${message}`;
}
