import { t } from "@vscode/l10n";
import type { Place } from "../problems.ts";
import { jsonRecord } from "./jsonRecord.ts";
import type { OnProblem, RawRecord, RecordSplitter } from "./record.ts";

const [quote, backslash, newline, comma] = [0x22, 0x5c, 0x0a, 0x2c];
const [openBracket, closeBracket, openBrace, closeBrace] = [0x5b, 0x5d, 0x7b, 0x7d];

/** One JSON list of records, of any size: elements are cut out by their brackets and parsed alone. */
export function jsonArray(onProblem: OnProblem): RecordSplitter & { waiting(): number } {
  return new ArraySplitter(onProblem);
}

class ArraySplitter implements RecordSplitter {
  private parts: string[] = [];
  private length = 0;
  private start: Place | null = null;
  private place = { line: 1, column: 1 };
  private depth = 0;
  private isInString = false;
  private isEscaped = false;
  private hasEnded = false;
  private found: RawRecord[] = [];

  constructor(private readonly onProblem: OnProblem) {}

  waiting(): number {
    return this.length;
  }

  push(text: string): RawRecord[] {
    this.found = [];
    let from = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (this.endsElement(code)) {
        this.keep(text.slice(from, i));
        this.finish();
      }
      if (this.start === null) {
        from = i;
        if (this.begins(code)) this.start = { ...this.place };
      }
      this.step(code);
    }
    if (this.start !== null) this.keep(text.slice(from));
    return this.found;
  }

  end(): RawRecord[] {
    this.found = [];
    if (this.hasEnded) return [];
    this.finish();
    this.onProblem(this.place, t("This is no JSON: the list is never closed."));
    return this.found;
  }

  /** A comma or the list's own bracket, outside of everything that an element holds. */
  private endsElement(code: number): boolean {
    if (this.depth !== 1 || this.isInString) return false;
    return code === comma || code === closeBracket;
  }

  private begins(code: number): boolean {
    if (this.depth !== 1 || this.isInString || this.hasEnded) return false;
    return code > 0x20 && code !== comma && code !== closeBracket;
  }

  private keep(text: string): void {
    if (this.start === null) return;
    this.parts.push(text);
    this.length += text.length;
  }

  private finish(): void {
    if (this.start !== null) {
      const record = jsonRecord(this.parts.join("").trimEnd(), this.start, this.onProblem);
      if (record) this.found.push(record);
    }
    this.parts = [];
    this.length = 0;
    this.start = null;
  }

  private step(code: number): void {
    if (code === newline) {
      this.place.line++;
      this.place.column = 0;
      // No text of JSON goes over a line's end: a quote that was never closed harms its own line alone.
      this.isInString = false;
    }
    this.place.column++;
    if (this.isInString) {
      if (this.isEscaped) this.isEscaped = false;
      else if (code === backslash) this.isEscaped = true;
      else if (code === quote) this.isInString = false;
    } else if (code === quote) this.isInString = true;
    else if (code === openBracket || code === openBrace) this.depth++;
    else if (code === closeBracket || code === closeBrace) {
      this.depth--;
      if (this.depth === 0) this.hasEnded = true;
    }
  }
}
