import { Acceptance, type DraftSource, free, type Offer } from "./source.ts";

/** Earlier places that are looked at, and tokens of each that are compared with the last ones. */
const mostPlaces = 24;
const longestMatch = 16;

/** Where the last tokens of a text stood before. */
export interface Match {
  /** Place of the token behind them. */
  readonly at: number;
  /** How many of the last tokens are the same there. */
  readonly length: number;
}

/**
 * Finds what followed the last tokens of a text where they stood before: the draft of prompt lookup
 * (https://github.com/apoorvumang/prompt-lookup-decoding). A token costs the same in a text of any length.
 */
export class NgramLookup {
  private readonly ids: number[] = [];
  /** The last place of each pair of tokens; per place the one before with the same pair, -1 for none. */
  private readonly last = new Map<number, number>();
  private readonly earlier: number[] = [];

  constructor(text: readonly number[]) {
    for (const id of text) this.push(id);
  }

  push(id: number): void {
    const place = this.ids.push(id) - 1;
    const pair = place === 0 ? -1 : (this.ids[place - 1] as number) * 2 ** 26 + id;
    this.earlier.push(this.last.get(pair) ?? -1);
    if (place > 0) this.last.set(pair, place);
  }

  /** The longest match, of several the latest; null where the last two tokens are new together. */
  find(): Match | null {
    const end = this.ids.length - 1;
    let best: Match | null = null;
    let place = this.earlier[end] ?? -1;
    for (let tries = 0; place > 0 && tries < mostPlaces; tries++) {
      const length = this.common(place, end);
      if (length > (best?.length ?? 0)) best = { at: place + 1, length };
      if (length === longestMatch) break;
      place = this.earlier[place] as number;
    }
    return best;
  }

  /** `count` tokens from a place before the end on; where the text ends, it goes on with itself. */
  read({ at }: Match, count: number): number[] {
    const { length } = this.ids;
    return Array.from({ length: count }, (_, i) => this.ids[at + (i % (length - at))] as number);
  }

  /** How many tokens that end at a place are those that end at another. */
  private common(one: number, other: number): number {
    let length = 0;
    while (length < longestMatch && one >= length) {
      if (this.ids[one - length] !== this.ids[other - length]) break;
      length++;
    }
    return length;
  }
}

/** Drafts from what the text says itself: after long matches they are right more often. */
export class LookupDrafts implements DraftSource {
  private readonly lookup: NgramLookup;
  /** After matches of 2, of 3 and 4, and of more tokens. */
  private readonly acceptance = [new Acceptance(1.6), new Acceptance(2.6), new Acceptance(3.4)];

  constructor(text: readonly number[]) {
    this.lookup = new NgramLookup(text);
  }

  push(id: number): void {
    this.lookup.push(id);
  }

  offer(): Offer | null {
    const match = this.lookup.find();
    if (!match) return null;
    const kind = match.length < 3 ? 0 : match.length < 5 ? 1 : 2;
    return {
      most: Infinity,
      acceptance: this.acceptance[kind] as Acceptance,
      ...{ cost: free, canProbe: true },
      read: (size) => this.lookup.read(match, size),
    };
  }
}
