import type { GraftError } from "../base/errors.ts";
import type { ActivationFeed, AdapterInputs, RouterFeed } from "./adapterInputs.ts";
import type { CompanionState } from "./companion.ts";
import type { Tensor } from "./ortSession.ts";
import type { Past } from "./past.ts";

export interface ForwardOptions {
  /** Per row and token of the new tokens, 1 is real and 0 padding; all real when absent. */
  readonly attentionMask?: readonly Uint8Array[];
  /** Positions (among the new tokens) whose logits are wanted; the last when absent. */
  readonly logitsRows?: readonly number[];
  /** True: padding has positions as well, as in transformers' forward; false as in its generate. */
  readonly countPadding?: boolean;
}

export interface Logits {
  /** [batch, rows, vocabulary]. */
  readonly data: Float32Array;
  readonly shape: readonly [number, number, number];
}

/** What a running sequence (or batch of equal length) remembers. */
export interface DecodingState {
  readonly cache: Past;
  /** Per row a state of its own, once rows are run one by one. */
  rows: readonly DecodingState[] | null;
  /** Adapters of this sequence; others take part from the next run on when this is replaced. */
  adapters: AdapterInputs;
  /** Per row, one entry a cached token: 1 is real, 0 padding. */
  readonly seen: number[][];
  /** Per row the cached tokens; -1 for what an adapter put there. */
  readonly ids: number[][];
  /** Per row the whole prompt, where it is read in parts. */
  readonly prompt: readonly (readonly number[])[] | null;
  /** Where the updates of an activation begin to act in each row; Infinity is never. */
  activeFrom: { readonly of: ActivationFeed; readonly rows: readonly number[] } | null;
  /** What the first pass of a router remembers. */
  first: { readonly of: RouterFeed; readonly state: DecodingState } | null;
  /** What the adapters' companion remembers. */
  companion: CompanionState | null;
  /** Frequencies of each rotary table that cached keys were turned by. */
  turned: readonly Float32Array[];
  /** Inputs of every run that an encoder made of the prompt; null without one. */
  source: Readonly<Record<string, Tensor>> | null;
}

/** New tokens [batch][seq] and what is wanted of them. */
export interface Request {
  readonly tokens: readonly (readonly number[])[];
  readonly options: ForwardOptions;
}

/**
 * The tokens of a sequence that a pass of its own (a router's, a companion's) has not read yet; null
 * when it knows them all. What it has read beyond them is taken back.
 * @param refusal thrown where there are virtual tokens of another adapter among them
 */
export function missedTokens(
  own: DecodingState,
  { cache, ids, seen }: DecodingState,
  refusal: () => GraftError,
): Request | null {
  const past = cache.length;
  own.cache.truncate(past);
  const known = own.cache.length;
  for (const row of [...own.seen, ...own.ids]) row.length = known;
  if (known === past) return null;
  const tokens = ids.map((row) => row.slice(known, past));
  if (tokens.flat().some((id) => id < 0)) throw refusal();
  const attentionMask = seen.map((row) => Uint8Array.from(row.slice(known, past)));
  return { tokens, options: { attentionMask } };
}
