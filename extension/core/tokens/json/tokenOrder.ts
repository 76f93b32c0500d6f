import { perObject } from "../../base/perObject.ts";
import type { Vocabulary } from "../vocabulary.ts";
import { byteTree, type ByteTree, type FlatBytes } from "./byteTree.ts";
import { broken, plain, textAfter } from "./text.ts";

/** A vocabulary's tokens by their bytes: what may not begin is passed over at once. */
export interface TokenOrder {
  readonly size: number;
  readonly all: ByteTree;
  /** Those that a string could not hold as they are: with quotes, escapes, parts of characters. */
  readonly special: ByteTree;
  /** Characters of each of the others; 0 for a special one. */
  readonly plainLength: Uint16Array;
  /** All the others, as a mask. */
  readonly plain: Uint8Array;
  readonly tokens: FlatBytes;
}

export const tokenOrder = perObject(makeOrder);

function makeOrder({ size, bytesOf }: Vocabulary): TokenOrder {
  const tokens = flatBytes(size, bytesOf);
  const ids = Int32Array.from({ length: size }, (_, id) => id).filter(
    (id) => tokens.starts[id] !== tokens.starts[id + 1],
  );
  const plainLength = new Uint16Array(size);
  for (const id of ids) plainLength[id] = lengthOf(tokens, id);
  const special = ids.filter((id) => plainLength[id] === 0);
  return {
    ...{ size, tokens, plainLength },
    all: byteTree(ids, tokens),
    special: byteTree(special, tokens),
    plain: Uint8Array.from(plainLength, (length) => Number(length > 0)),
  };
}

function flatBytes(size: number, bytesOf: Vocabulary["bytesOf"]): FlatBytes {
  const starts = new Int32Array(size + 1);
  let bytes = new Uint8Array(8 * size + longest);
  for (let id = 0; id < size; id++) {
    const own = bytesOf(id);
    const start = starts[id] as number;
    const length = own && own.length < longest ? own.length : 0;
    if (start + length > bytes.length) bytes = grown(bytes);
    if (own && length > 0) bytes.set(own, start);
    starts[id + 1] = start + length;
  }
  return { bytes: bytes.slice(0, starts[size]), starts };
}

function grown(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * bytes.length);
  larger.set(bytes);
  return larger;
}

/** Characters of a token that a JSON string can hold as it is; 0 for any other. */
function lengthOf({ bytes, starts }: FlatBytes, id: number): number {
  let state = plain;
  let length = 0;
  for (let i = starts[id] as number; i < (starts[id + 1] as number); i++) {
    state = textAfter(state, bytes[i] as number, false);
    if (state === broken) return 0;
    if (state === plain) length++;
  }
  return state === plain ? length : 0;
}

/** Vocabularies have none near that; those of a hostile file are left out. */
const longest = 1024;
