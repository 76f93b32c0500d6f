import { t } from "@vscode/l10n";
import type { Place } from "../problems.ts";
import { type Line, lineSplitter } from "./lines.ts";
import type { OnProblem, RawRecord, RecordSplitter } from "./record.ts";

interface Cell {
  readonly text: string;
  readonly place: Place;
}

interface Row {
  readonly cells: Cell[];
  readonly line: number;
}

/**
 * CSV and TSV (RFC 4180): the first row names the columns. Rows are cut while they stream in, and every
 * cell's place is known, which a parser of whole texts does not tell. @param delimiter null finds it
 */
export function table(
  onProblem: OnProblem,
  delimiter: string | null,
): RecordSplitter & { waiting(): number } {
  const lines = lineSplitter();
  const rows = new RowReader(onProblem, delimiter);
  let header: string[] | null = null;
  const read = (row: Row): RawRecord[] => {
    if (header === null) {
      header = row.cells.map(({ text }) => text.trim());
      return [];
    }
    return toRecord(row, header, onProblem);
  };
  return {
    push: (text) =>
      lines
        .push(text)
        .flatMap((line) => rows.push(line))
        .flatMap(read),
    end: () => [...lines.end().flatMap((line) => rows.push(line)), ...rows.end()].flatMap(read),
    waiting: () => lines.waiting() + rows.waiting,
  };
}

function toRecord({ cells, line }: Row, header: string[], onProblem: OnProblem): RawRecord[] {
  if (cells.length !== header.length) {
    const extra = cells[header.length]?.place ?? { line, column: 1 };
    onProblem(
      extra,
      t("The row has {0} cells, the first line names {1} columns.", cells.length, header.length),
    );
    return [];
  }
  const value = Object.fromEntries(header.map((name, i) => [name, cells[i]?.text ?? ""]));
  const placeOf = ([name]: readonly (string | number)[]): Place =>
    cells[header.indexOf(String(name))]?.place ?? { line, column: 1 };
  return [{ line, column: 1, value, placeOf }];
}

/** What separates cells: what the first line has most of. */
function guessDelimiter(line: string): string {
  const counts = [",", ";", "\t", "|"].map((each) => [each, line.split(each).length] as const);
  return counts.reduce((best, each) => (each[1] > best[1] ? each : best))[0];
}

/** Joins lines to rows, where a quoted cell goes over several, and cuts them into cells. */
class RowReader {
  private cells: Cell[] = [];
  private line = 0;
  private open: { parts: string[]; place: Place } | null = null;
  waiting = 0;

  constructor(
    private readonly onProblem: OnProblem,
    private delimiter: string | null,
  ) {}

  push(line: Line): Row[] {
    if (this.open) this.waiting += line.text.length;
    else if (line.text.trim() === "") return [];
    const delimiter = (this.delimiter ??= guessDelimiter(line.text));
    const isWhole = this.readCells(line, delimiter);
    if (this.open) return [];
    const row = { cells: this.cells, line: this.line };
    this.cells = [];
    this.waiting = 0;
    return isWhole ? [row] : [];
  }

  end(): Row[] {
    if (this.open) this.onProblem(this.open.place, t("The quote that opens here is never closed."));
    return [];
  }

  /** @returns false when the row is broken; that was told then */
  private readCells({ text, number }: Line, delimiter: string): boolean {
    let at = 0;
    if (this.open) this.open.parts.push("\n");
    else this.line = number;
    for (;;) {
      if (this.open ?? text[at] === '"') {
        const end = this.readQuoted(text, at, number);
        if (end === null) return true;
        if (end < text.length && !text.startsWith(delimiter, end)) {
          const message = t("Text stands behind a closing quote. Double quotes inside a cell.");
          this.onProblem({ line: number, column: end + 1 }, message);
          return false;
        }
        at = end;
      } else {
        const end = text.indexOf(delimiter, at);
        const until = end < 0 ? text.length : end;
        this.cells.push({ text: text.slice(at, until), place: { line: number, column: at + 1 } });
        at = until;
      }
      if (at >= text.length) return true;
      at += delimiter.length;
    }
  }

  /** @returns where the text behind the closing quote begins; null when the line ends before it */
  private readQuoted(text: string, from: number, line: number): number | null {
    const isNew = this.open === null;
    const open = (this.open ??= { parts: [], place: { line, column: from + 1 } });
    let at = isNew ? from + 1 : from;
    for (;;) {
      const end = text.indexOf('"', at);
      open.parts.push(text.slice(at, end < 0 ? text.length : end));
      if (end < 0) return null;
      if (text[end + 1] !== '"') {
        this.cells.push({ text: open.parts.join(""), place: open.place });
        this.open = null;
        return end + 1;
      }
      open.parts.push('"');
      at = end + 2;
    }
  }
}
