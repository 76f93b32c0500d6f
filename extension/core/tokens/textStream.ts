import type { Tokenizer } from "./tokenizer.ts";

/** Tokens after which the front of the tail is settled. */
const longestTail = 32;

/**
 * Token ids in, text out, as it becomes certain: bytes of an unfinished character wait for the
 * rest. Only a short tail is decoded again for each token.
 */
export class TextStream {
  private settled = "";
  private tail: number[] = [];
  private shown = "";

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: { skipSpecialTokens?: boolean } = {},
  ) {}

  /** The text so far, without an unfinished character at its end. */
  get text(): string {
    return this.settled + this.shown;
  }

  push(id: number): void {
    this.tail.push(id);
    const decoded = this.decode(this.tail);
    if (decoded.endsWith("\uFFFD")) return;
    this.shown = decoded;
    this.settle();
  }

  /** The end: an unfinished character is shown as it is. */
  finish(): string {
    return this.settled + this.decode(this.tail);
  }

  private decode(ids: readonly number[]): string {
    return this.tokenizer.decode(ids, this.options);
  }

  /** Moves the front of a long tail to the settled text, where both halves decode to the same. */
  private settle(): void {
    if (this.tail.length < longestTail) return;
    // Not every place will do: one inside a character or before a space that decoders strip changes
    // the text. The later the place, the shorter the tail that stays.
    for (let place = longestTail - 4; place >= longestTail / 4; place--) {
      const rest = this.tail.slice(place);
      const first = this.decode(this.tail.slice(0, place));
      const second = this.decode(rest);
      if (first + second !== this.shown) continue;
      this.settled += first;
      this.tail = rest;
      this.shown = second;
      return;
    }
  }
}
