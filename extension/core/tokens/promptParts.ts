import { throwIfAborted } from "../base/errors.ts";
import { perObject } from "../base/perObject.ts";
import type { Logits } from "../session/decodingState.ts";

/**
 * Tokens of a part, all rows together: few sizes, as each is a shape that the runtime plans for. A cancel
 * is heard between parts, and each part reads the weights anew (docs/performance.md has what that costs).
 */
const sizes = [32, 64, 128] as const;
/** The most tokens of a part: what memory is planned for, and what an arena keeps after the first prompt. */
export const [, , promptPart] = sizes;
/** A row of a batch has at least so many in a part. */
const smallestRow = 16;
/** Milliseconds that a part may take where it can be chosen. */
const longest = 80;
/** Where every part takes longer, the smallest is read if a token costs at most so much more in it. */
const mostLoss = 1.06;

/** How fast prompts are read in a session, and the parts that follow from that. */
export class PromptParts {
  /** Milliseconds a token in parts of each size. */
  private readonly rates = new Map<number, number>();

  /** Tokens a row for the next part of so many rows. */
  next(rows = 1): number {
    return Math.max(smallestRow, 2 ** Math.floor(Math.log2(this.size() / rows)));
  }

  took(tokens: number, ms: number): void {
    const size = sizes.findLast((each) => each <= tokens);
    if (size === undefined) return;
    const known = this.rates.get(size) ?? ms / tokens;
    this.rates.set(size, known + 0.3 * (ms / tokens - known));
  }

  private size(): number {
    const [small, usual] = sizes;
    if (this.rates.size === 0) return usual;
    const fitting = sizes.findLast((size) => size * this.rate(size) <= longest);
    if (fitting !== undefined) return fitting;
    const [one, other] = [this.rates.get(small), this.rates.get(usual)];
    return one === undefined || other === undefined || one <= mostLoss * other ? small : usual;
  }

  /** What is known of a size, else of the next smaller one, else of any. */
  private rate(size: number): number {
    const own = sizes.filter((each) => each <= size).findLast((each) => this.rates.has(each));
    const [any = 0] = this.rates.values();
    return own === undefined ? any : (this.rates.get(own) as number);
  }
}

const partsOf = perObject(() => new PromptParts());

/**
 * Reads rows of one length part by part.
 * @param read the part from one place to another; gives its last logits
 */
export async function readInParts(
  session: object,
  { rows, from = 0, to }: { rows: number; from?: number; to: number },
  {
    read,
    signal,
  }: { read: (start: number, end: number) => Promise<Logits>; signal: AbortSignal | undefined },
): Promise<Logits> {
  const parts = partsOf(session);
  let logits: Logits | null = null;
  for (let start = from; start < to;) {
    throwIfAborted(signal);
    const end = Math.min(to, start + parts.next(rows));
    const began = performance.now();
    logits = await read(start, end);
    parts.took((end - start) * rows, performance.now() - began);
    start = end;
  }
  return logits ?? { data: new Float32Array(0), shape: [rows, 1, 0] };
}
