import type { Tokenizer } from "./tokenizer.ts";

/**
 * Token ids in, text out, as it becomes certain: bytes of an unfinished character wait for the
 * rest. Only a short tail is decoded again for each token.
 */
export class TextStream {
  private settled = "";
  private tail: number[] = [];
  private shown = "";

  constructor(private readonly tokenizer: Tokenizer) {}

  /** The text so far, without an unfinished character at its end. */
  get text(): string {
    return this.settled + this.shown;
  }

  push(id: number): void {
    this.tail.push(id);
    const decoded = this.tokenizer.decode(this.tail);
    if (decoded.endsWith("\uFFFD")) return;
    this.shown = decoded;
    this.settle();
  }

  /** The end: an unfinished character is shown as it is. */
  finish(): string {
    return this.settled + this.tokenizer.decode(this.tail);
  }

  /** Moves the front of a long tail to the settled text, where both halves decode to the same. */
  private settle(): void {
    const longest = 32;
    if (this.tail.length < longest) return;
    const head = this.tail.slice(0, longest / 2);
    const rest = this.tail.slice(longest / 2);
    const [first, second] = [this.tokenizer.decode(head), this.tokenizer.decode(rest)];
    if (first + second !== this.shown) return;
    this.settled += first;
    this.tail = rest;
    this.shown = second;
  }
}
