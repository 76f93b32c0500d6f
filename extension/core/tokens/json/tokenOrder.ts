import type { Vocabulary } from "../vocabulary.ts";

/**
 * A vocabulary's tokens in the order of their bytes: tokens with the same beginning stand together, so
 * what may not begin is passed over at once.
 */
export interface TokenOrder {
  readonly size: number;
  /** Ids in that order. */
  readonly ids: Int32Array;
  /** How many bytes each has in common with the one before. */
  readonly shared: Uint16Array;
  readonly bytesOf: (id: number) => Uint8Array;
}

const orders = new WeakMap<Vocabulary, TokenOrder>();

export function tokenOrder(vocabulary: Vocabulary): TokenOrder {
  const known = orders.get(vocabulary) ?? makeOrder(vocabulary);
  orders.set(vocabulary, known);
  return known;
}

const none = new Uint8Array();

function makeOrder({ size, bytesOf }: Vocabulary): TokenOrder {
  const bytes = Array.from({ length: size }, (_, id) => bytesOf(id) ?? none);
  // Strings of one character a byte compare as the bytes do, and fast.
  const sorted = bytes
    .map((own, id) => ({ id, text: String.fromCharCode(...own) }))
    .filter(({ text }) => text !== "" && text.length < longest)
    .sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  const shared = new Uint16Array(sorted.length);
  for (let i = 1; i < sorted.length; i++) {
    const [a, b] = [sorted[i - 1], sorted[i]].map((each) => each?.text ?? "") as [string, string];
    let length = 0;
    while (length < a.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
    shared[i] = length;
  }
  return {
    size,
    ids: Int32Array.from(sorted, ({ id }) => id),
    shared,
    bytesOf: (id) => bytes[id] ?? none,
  };
}

/** Vocabularies have none near that; those of a hostile file are left out. */
const longest = 1024;
