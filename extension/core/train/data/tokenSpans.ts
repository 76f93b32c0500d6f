import type { Span } from "../../tokens/chatRenderer.ts";
import type { Tokenizer } from "../../tokens/tokenizer.ts";
import type { Vocabulary } from "../../tokens/vocabulary.ts";

/**
 * Which tokens lie in spans of their text: 1 for each that has a character there, as transformers'
 * char_to_token counts for its assistant mask. Tokenizers here tell no places, so tokens are followed
 * through the text by the bytes that they stand for; where a tokenizer changes its text (lower case,
 * Unicode forms), the text up to a span is tokenised alone instead.
 */
export function tokensInSpans(
  tokenizer: Tokenizer,
  { text, ids }: { text: string; ids: readonly number[] },
  spans: readonly Span[],
): Uint8Array {
  const mask = new Uint8Array(ids.length);
  const ends = followTokens(tokenizer, text, ids);
  for (const [start, end] of spans) {
    if (ends === null) {
      const [from, to] = [start, end].map((at) => commonStart(tokenizer, text.slice(0, at), ids));
      mask.fill(1, from, to);
      continue;
    }
    for (let i = 0; i < ids.length; i++) {
      const tokenStart = i === 0 ? 0 : (ends[i - 1] as number);
      if (tokenStart < end && (ends[i] as number) > start) mask[i] = 1;
    }
  }
  return mask;
}

const utf8 = new TextEncoder();

/** Bytes of tokens that came before: a data set asks for the same ones millions of times. */
const known = new WeakMap<Vocabulary, (Uint8Array | undefined)[]>();

function bytesOf(vocabulary: Vocabulary, id: number): Uint8Array {
  let pieces = known.get(vocabulary);
  if (!pieces) known.set(vocabulary, (pieces = []));
  return (pieces[id] ??= vocabulary.bytesOf(id) ?? utf8.encode(vocabulary.label(id)));
}

/** The character behind each token; null when the tokens do not spell the text. */
function followTokens(
  tokenizer: Tokenizer,
  text: string,
  ids: readonly number[],
): Uint32Array | null {
  const bytes = utf8.encode(text);
  const ends = new Uint32Array(ids.length);
  const { vocabulary } = tokenizer;
  let at = 0;
  for (const [i, id] of ids.entries()) {
    const piece = bytesOf(vocabulary, id);
    const next = follow(bytes, at, piece);
    if (next === null) return null;
    at = next;
    ends[i] = at;
  }
  while (isSpace(bytes[at])) at++;
  return at === bytes.length ? toCharacters(bytes, ends) : null;
}

/** Special tokens may take spaces around them along; a space may stand before the first word of all. */
function follow(bytes: Uint8Array, from: number, piece: Uint8Array): number | null {
  if (isAt(bytes, from, piece)) return from + piece.length;
  if (piece[0] === 0x20 && isAt(bytes, from, piece.subarray(1))) return from + piece.length - 1;
  let at = from;
  while (isSpace(bytes[at])) at++;
  return at > from && isAt(bytes, at, piece) ? at + piece.length : null;
}

function isAt(bytes: Uint8Array, from: number, piece: Uint8Array): boolean {
  for (let i = 0; i < piece.length; i++) if (bytes[from + i] !== piece[i]) return false;
  return true;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Bytes of UTF-8 → UTF-16 units; inside of a character, its end. */
function toCharacters(bytes: Uint8Array, ends: Uint32Array): Uint32Array {
  let [at, units] = [0, 0];
  return ends.map((end) => {
    for (; at < end; at++) {
      const byte = bytes[at] as number;
      // A character counts with its first byte; those of four bytes are two units.
      if ((byte & 0xc0) !== 0x80) units += byte >= 0xf0 ? 2 : 1;
    }
    return units;
  });
}

function commonStart(tokenizer: Tokenizer, beginning: string, ids: readonly number[]): number {
  const own = tokenizer.encode(beginning, { addSpecialTokens: false });
  const differs = own.findIndex((id, i) => id !== ids[i]);
  return differs < 0 ? own.length : differs;
}
