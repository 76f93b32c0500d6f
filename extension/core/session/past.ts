import type { Tensor } from "./ortSession.ts";

/** The new tokens of a run, [batch][seq] each; `seen` has those of the past in front. */
export interface NewTokens {
  readonly ids: readonly (readonly number[])[];
  readonly positions: readonly (readonly number[])[];
  /** 1 is real, 0 padding. */
  readonly seen: readonly (readonly number[])[];
}

/** What a sequence remembers in the way that a kind of graph wants to be told. */
export interface Past {
  readonly batch: number;
  /** Tokens that are remembered; set back where what was forgotten is still there. */
  length: number;
  /** Places that a run's keys have for the past, those from `length` on masked. */
  readonly capacity: number;
  /** Forgets the tokens from `length` on. */
  truncate(length: number): void;
  /** Fills an empty past with `count` places [2 · layers, batch, kv heads, count, dim], keys first. */
  begin(rows: Float32Array, count: number): void;
  /** Copies the first `count` places of a batch of one, as `begin` takes them; absent where that is not possible. */
  read?(count: number): Float32Array;
  /** Sets the graph's own inputs for a run over new tokens. */
  feed(feeds: Record<string, Tensor>, tokens: NewTokens): void;
  /** Outputs that `take` needs. */
  readonly outputs: readonly string[];
  /** Remembers the `seq` tokens of a run. */
  take(results: Record<string, Tensor>, seq: number): void;
}
