import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";

/** Where an answer's text ends by a stop text, and what may be shown before that is known. */
export class StopText {
  private searched = 0;
  private readonly longest: number;

  constructor(private readonly stops: readonly string[]) {
    if (stops.includes("")) throw badRequest(t("A stop text is empty; it would end every answer."));
    this.longest = Math.max(0, ...stops.map(({ length }) => length));
  }

  /** The first stop text in the whole text so far; null without one. */
  find(text: string): { at: number; stop: string } | null {
    // One may have begun in what was searched already.
    const from = Math.max(0, this.searched - this.longest);
    this.searched = text.length;
    const found = this.stops
      .map((stop) => ({ at: text.indexOf(stop, from), stop }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at || b.stop.length - a.stop.length);
    return found[0] ?? null;
  }

  /** How much of the text's end may be the beginning of a stop text. */
  held(text: string): number {
    return Math.max(0, ...this.stops.map((stop) => beginningAtEnd(text, stop)));
  }
}

/** Length of the longest end of `text` that `part` begins with, `part` itself aside. */
export function beginningAtEnd(text: string, part: string): number {
  for (let length = Math.min(part.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(part.slice(0, length))) return length;
  }
  return 0;
}
