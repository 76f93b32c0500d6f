import type { Node } from "./node.ts";
import { JsonReader, type Stack } from "./reader.ts";
import { plain, textAfter } from "./text.ts";

/** All that may be under way after the same bytes; equal ones are the same object. */
export interface Place {
  readonly stacks: readonly Stack[];
  /** The value may end here. */
  readonly canEnd: boolean;
  /** How many plain characters may follow in a row, whichever they are. */
  readonly room: number;
  /** What is under way beside free text; null where there is no free text, or nothing else. */
  readonly rest: Place | null;
  /** All plain characters of one byte lead to the same place. */
  readonly isAlike: boolean;
  /** Places after each byte, as they become known; null where the byte may not stand. */
  readonly next: (Place | null | undefined)[];
}

/** Bytes that a string holds as they are, each a character. */
const plainBytes = Array.from({ length: 0x80 }, (_, byte) => byte).filter(
  (byte) => textAfter(plain, byte, false) === plain,
);

/** More readings than this at once are no schema that people write. */
const mostReadings = 256;

/** Turns readings into places that remember where each byte leads: what is read again costs nothing. */
export class JsonMachine {
  readonly start: Place;
  private readonly reader = new JsonReader();
  private readonly places = new Map<string, Place>();

  constructor(node: Node) {
    this.start = this.place([this.reader.begin(node)], false);
  }

  after(place: Place, byte: number): Place | null {
    const known = place.next[byte];
    if (known !== undefined) return known;
    const found = this.find(place, byte);
    if (!place.isAlike || !plainBytes.includes(byte)) return (place.next[byte] = found);
    for (const each of plainBytes) place.next[each] = found;
    return found;
  }

  /** The place after bytes from the start; null where they may not stand. */
  read(bytes: Iterable<number>): Place | null {
    let place: Place | null = this.start;
    for (const byte of bytes) {
      if (!place) return null;
      place = this.after(place, byte);
    }
    return place;
  }

  private find({ stacks }: Place, byte: number): Place | null {
    const found = new Map<number, Stack>();
    let hasEnded = false;
    for (const stack of stacks) {
      this.reader.step(stack, byte, (next) => {
        if (!next) hasEnded = true;
        else if (found.size < mostReadings) found.set(next.id, next);
      });
    }
    return found.size === 0 && !hasEnded ? null : this.place([...found.values()], hasEnded);
  }

  private place(stacks: readonly Stack[], hasEnded: boolean): Place {
    const sorted = [...stacks].sort((a, b) => a.id - b.id);
    const key = `${hasEnded} ${sorted.map(({ id }) => id).join()}`;
    const known = this.places.get(key);
    if (known) return known;
    const canEnd = hasEnded || sorted.some((stack) => JsonReader.canEnd(stack));
    const rooms = sorted.map((stack) => JsonReader.room(stack));
    const others = sorted.filter((_, i) => rooms[i] === 0);
    const isMixed = others.length > 0 && others.length < sorted.length;
    const place: Place = {
      ...{ stacks: sorted, canEnd, next: new Array<Place | null>(256) },
      room: Math.max(0, ...rooms),
      rest: isMixed ? this.place(others, false) : null,
      isAlike: sorted.every((stack) => JsonReader.readsAlike(stack)),
    };
    this.places.set(key, place);
    return place;
  }
}
