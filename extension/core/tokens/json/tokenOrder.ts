import { perObject } from "../../base/perObject.ts";
import type { Vocabulary } from "../vocabulary.ts";
import { broken, plain, textAfter } from "./text.ts";

/**
 * A vocabulary's tokens in the order of their bytes: tokens with the same beginning stand together, so
 * what may not begin is passed over at once.
 */
export interface TokenOrder {
  readonly size: number;
  readonly all: OrderedTokens;
  /** Those that a string could not hold as they are: with quotes, escapes, parts of characters. */
  readonly special: OrderedTokens;
  /** Characters of each of the others; 0 for a special one. */
  readonly plainLength: Uint16Array;
  readonly bytesOf: (id: number) => Uint8Array;
}

export interface OrderedTokens {
  readonly ids: Int32Array;
  /** How many bytes each has in common with the one before. */
  readonly shared: Uint16Array;
}

export const tokenOrder = perObject(makeOrder);

const none = new Uint8Array();

function makeOrder({ size, bytesOf }: Vocabulary): TokenOrder {
  const bytes = Array.from({ length: size }, (_, id) => bytesOf(id) ?? none);
  // Strings of one character a byte compare as the bytes do, and fast.
  const sorted = bytes
    .map((own, id) => ({ id, text: String.fromCharCode(...own) }))
    .filter(({ text }) => text !== "" && text.length < longest)
    .sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  const plainLength = new Uint16Array(size);
  for (const { id } of sorted) plainLength[id] = lengthOf(bytes[id] ?? none);
  return {
    size,
    all: ordered(sorted),
    special: ordered(sorted.filter(({ id }) => plainLength[id] === 0)),
    plainLength,
    bytesOf: (id) => bytes[id] ?? none,
  };
}

function ordered(sorted: readonly { id: number; text: string }[]): OrderedTokens {
  const shared = new Uint16Array(sorted.length);
  for (let i = 1; i < sorted.length; i++) {
    const [a, b] = [sorted[i - 1], sorted[i]].map((each) => each?.text ?? "") as [string, string];
    let length = 0;
    while (length < a.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
    shared[i] = length;
  }
  return { ids: Int32Array.from(sorted, ({ id }) => id), shared };
}

/** Characters of a token that a JSON string can hold as it is; 0 for any other. */
function lengthOf(bytes: Uint8Array): number {
  let state = plain;
  let length = 0;
  for (const byte of bytes) {
    state = textAfter(state, byte, false);
    if (state === broken) return 0;
    if (state === plain) length++;
  }
  return state === plain ? length : 0;
}

/** Vocabularies have none near that; those of a hostile file are left out. */
const longest = 1024;
