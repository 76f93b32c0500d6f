import { isObject, type JsonObject } from "../base/json.ts";

/** What tokens stand for, one by one: a token may be part of a character, so these are bytes. */
export interface Vocabulary {
  /** One more than the largest id. */
  readonly size: number;
  /** Bytes of UTF-8; null for special tokens, and for ids that stand for nothing. */
  bytesOf(id: number): Uint8Array | null;
  /** For people: the text, bytes that are no whole character as "\xE2", special tokens by their names. */
  label(id: number): string;
  /** As tokenizer.json spells it, of an added token with whether it is special; "" for nothing. */
  spelling(id: number): string;
}

/** The first id that two vocabularies do not give the same token, with both; null where they are alike. */
export function firstDifference(
  one: Vocabulary,
  other: Vocabulary,
): { id: number; one: string; other: string } | null {
  if (one === other) return null;
  for (let id = 0; id < Math.max(one.size, other.size); id++) {
    if (one.spelling(id) === other.spelling(id)) continue;
    return { id, one: one.label(id), other: other.label(id) };
  }
  return null;
}

/** Reads what tokens stand for from tokenizer.json. */
export function readVocabulary(tokenizer: JsonObject): Vocabulary {
  const { pieces, added } = readPieces(tokenizer);
  const toBytes = JSON.stringify(decodersOf(tokenizer)).includes('"ByteLevel"')
    ? byteLevelBytes
    : sentencePieceBytes;
  const bytesOf = (id: number): Uint8Array | null => {
    const token = added.get(id);
    if (token) return token.isSpecial ? null : utf8.encode(token.text);
    const piece = pieces[id];
    return piece === undefined ? null : toBytes(piece);
  };
  const label = (id: number): string => {
    const bytes = bytesOf(id);
    return bytes ? textOf(bytes) : (added.get(id)?.text ?? "");
  };
  const spelling = (id: number): string => {
    const token = added.get(id);
    if (!token) return pieces[id] ?? "";
    return `${token.isSpecial ? "special" : "added"} ${token.text}`;
  };
  return { size: pieces.length, bytesOf, label, spelling };
}

interface AddedToken {
  readonly text: string;
  readonly isSpecial: boolean;
}

function readPieces(tokenizer: JsonObject): {
  pieces: (string | undefined)[];
  added: Map<number, AddedToken>;
} {
  const model = isObject(tokenizer["model"]) ? tokenizer["model"] : {};
  const pieces: (string | undefined)[] = [];
  const vocab = model["vocab"];
  if (Array.isArray(vocab)) {
    for (const entry of vocab) pieces.push(Array.isArray(entry) ? String(entry[0]) : undefined);
  } else if (isObject(vocab)) {
    for (const [piece, id] of Object.entries(vocab)) {
      if (typeof id === "number" && isPlausible(id)) pieces[id] = piece;
    }
  }
  const added = new Map<number, AddedToken>();
  const tokens = tokenizer["added_tokens"];
  for (const token of Array.isArray(tokens) ? tokens : []) {
    if (!isObject(token)) continue;
    const { id, content, special } = token;
    if (typeof id !== "number" || typeof content !== "string" || !isPlausible(id)) continue;
    added.set(id, { text: content, isSpecial: special === true });
    pieces[id] ??= content;
  }
  return { pieces, added };
}

/** A file may claim any id; an array as long as that is made. No vocabulary comes near this. */
function isPlausible(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < 10_000_000;
}

function decodersOf(tokenizer: JsonObject): unknown {
  return tokenizer["decoder"] ?? tokenizer["pre_tokenizer"] ?? null;
}

const utf8 = new TextEncoder();

/** GPT-2's alphabet: printable bytes stand for themselves, the others are moved above 255. */
const byteOfCharacter = new Map(
  [...Array(256).keys()]
    .map((byte) => ({ byte, isPrintable: isPrintable(byte) }))
    .map(({ byte, isPrintable: own }, _, all) => {
      const moved = all.filter((each) => !each.isPrintable && each.byte < byte).length;
      return [String.fromCharCode(own ? byte : 256 + moved), byte] as const;
    }),
);

function isPrintable(byte: number): boolean {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

function byteLevelBytes(piece: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of piece) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) bytes.push(...utf8.encode(character));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** SentencePiece: "▁" is a space, "<0xE2>" a byte. */
function sentencePieceBytes(piece: string): Uint8Array {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1];
  if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
  return utf8.encode(piece.replaceAll("▁", " "));
}

/** Text of bytes that may begin or end inside a character. */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // A whole character between broken ones is rare enough in one token to be shown as bytes too.
    return [...bytes]
      .map((byte) =>
        byte >= 32 && byte < 127
          ? String.fromCharCode(byte)
          : `\\x${byte.toString(16).toUpperCase().padStart(2, "0")}`,
      )
      .join("");
  }
}
