/** Texts as a data set keeps them (`StoredKind`). */
import type { Tokenizer } from "../../tokens/tokenizer.ts";
import { ignored } from "./batch.ts";
import type { StoredKind } from "./split.ts";
import type { Counter } from "./statistics.ts";

/** Tokens of a text, and how many labels of it count. */
export function countsOf(kind: StoredKind, codes: Int32Array): { tokens: number; learned: number } {
  const { length } = codes;
  switch (kind) {
    case "causal":
      return { tokens: length, learned: codes.filter((code, i) => i > 0 && code >= 0).length };
    case "answers":
      return { tokens: length, learned: codes.filter((code) => code < 0).length };
    case "classification":
    case "spans":
      return { tokens: length, learned: 1 };
    case "tags": {
      const tags = codes.subarray(length / 2);
      return { tokens: length / 2, learned: tags.filter((tag) => tag !== ignored).length };
    }
  }
}

/** The tokens up to a length; the special token at their end stays, as transformers' truncation keeps it. */
export function endKept(
  ids: readonly number[],
  at: { maxLength: number; tokenizer: Tokenizer; counter: Counter },
): number[] {
  const { maxLength, tokenizer, counter } = at;
  const kept = ids.slice(0, maxLength);
  if (kept.length === ids.length) return kept;
  counter.cut++;
  counter.cutTokens += ids.length - kept.length;
  const last = ids.at(-1) as number;
  if (tokenizer.vocabulary.bytesOf(last) === null) kept[kept.length - 1] = last;
  return kept;
}

export function padOf(tokenizer: Tokenizer): number {
  const pad = tokenizer.specialTokens["pad_token"];
  const [id, ...more] = pad === undefined ? [] : tokenizer.encode(pad, { addSpecialTokens: false });
  return id !== undefined && more.length === 0 ? id : (tokenizer.eosTokenId ?? 0);
}
