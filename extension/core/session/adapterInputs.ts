import type { CompanionFeed } from "./companion.ts";
import { float32Tensor, type Tensor } from "./ortSession.ts";

/** A named tensor for an input that the layer hook declared. */
export interface AdapterFeed {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Inputs around the embedded tokens; filled anew for the tokens of each run. */
export interface EmbeddingFeed {
  /** The graph input whose ids pick rows of the table. */
  readonly ids: string;
  /** What the table's rows are multiplied by: 0 where a virtual token stands. */
  readonly kept: string;
  /** What is added to them. */
  readonly delta: string;
  /** Size of a row. */
  readonly width: number;
  /** What a token in a row of the batch gets [width], or null for nothing. */
  rowDelta(id: number, row: number): Float32Array | null;
  /** The same under the router's weights of the token; `rowDelta` is then for its first pass. */
  routedDelta?(id: number, weights: Float32Array): Float32Array | null;
  /**
   * What the places of the virtual tokens get in the table's place [virtual tokens, width]: one entry
   * a row of the batch, or one for all.
   */
  readonly virtualRows?: readonly Float32Array[];
}

/** What a set of active adapters feeds to a session, made once for the set. */
export interface AdapterInputs {
  /** Rows of the batch that these are for; 1 serves any batch, all rows alike. */
  readonly rows: number;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly embeddings: readonly EmbeddingFeed[];
  /** How many tokens stand before the prompt, given as rows of an embedding slot. */
  readonly virtualTokens: number;
  /** Per row, how many of them are padding in front; one entry for all rows, none is none. */
  readonly virtualPadding: readonly number[];
  /** Keys and values before the prompt. */
  readonly cachePrefix: CachedPrefix | null;
  /** Updates that act on some tokens alone; null where the session has none. */
  readonly activation: ActivationFeed | null;
  /** Updates that are weighed anew for every token; null without any. */
  readonly router: RouterFeed | null;
  /** A decoder that runs before the model; null without one. */
  readonly companion: CompanionFeed | null;
  /** Tokens that the adapters know; the model's own number when null. */
  readonly vocabulary: number | null;
  /** Per row what it was made of; equal ones feed the same. Null where that is not known. */
  readonly identity: readonly (readonly FedAdapter[])[] | null;
}

/** An adapter's effects, which are the same object as long as it is loaded, and how it takes part. */
export type FedAdapter = readonly [effects: object, weight: number, task: unknown];

/** True where rows are made of the same adapters. */
export function isSameRow(one: readonly FedAdapter[], other: readonly FedAdapter[]): boolean {
  return (
    one.length === other.length &&
    one.every((each, i) => each.every((part, place) => part === other[i]?.[place]))
  );
}

/** Content of an empty cache; `rows` and `padding` have one entry a row of the batch, or one for all. */
export interface CachedPrefix {
  readonly count: number;
  /** How many of the places are padding in front. */
  readonly padding: readonly number[];
  /** [2 · layers, kv heads, count, dim], keys first. */
  readonly rows: readonly Float32Array[];
}

/** Inputs that are 1 from the start of the last place in the prompt where `tokens` stand, else 0. */
export interface ActivationFeed {
  /** Ids one after another, one entry a row of the batch or one for all; none never act. */
  readonly tokens: readonly (readonly number[])[];
  /** Inputs [batch or 1, seq or 1, 1], of all new tokens or of those whose logits are wanted. */
  readonly inputs: readonly { readonly name: string; readonly of: "tokens" | "logits" }[];
}

/**
 * Inputs whose values follow from a first pass over the same tokens: it runs with the inputs as they
 * are in `tensors` and has a cache of its own.
 */
export interface RouterFeed {
  /** Output of the first pass that is read [batch, seq, hidden]. */
  readonly reads: string;
  /** Weights of a token. */
  readonly count: number;
  /** [tokens, hidden] → [tokens, count] */
  weights(hidden: Float32Array): Float32Array;
  /** Inputs [batch, seq, places]: which of a token's weights stands at each place. */
  readonly inputs: readonly { readonly name: string; readonly places: Int32Array }[];
}

/** Wraps adapter tensors for feeding; no copy. */
export function adapterInputs(
  feeds: readonly AdapterFeed[],
  rest: Partial<Omit<AdapterInputs, "tensors">> = {},
): AdapterInputs {
  return {
    rows: 1,
    embeddings: [],
    virtualTokens: 0,
    virtualPadding: [],
    cachePrefix: null,
    activation: null,
    router: null,
    companion: null,
    vocabulary: null,
    identity: null,
    ...rest,
    tensors: new Map(feeds.map(({ name, shape, data }) => [name, float32Tensor(data, shape)])),
  };
}

/** A router's weights [batch · seq, count] of the tokens of a pass. */
export interface TokenWeights {
  readonly of: RouterFeed;
  readonly values: Float32Array;
}

/**
 * Tensors of the inputs around the tables that read `ids`, for the tokens of a run.
 * @param tokens the ids [batch][seq] that pick rows, virtual ones in front
 */
export function embeddingTensors(
  embeddings: readonly EmbeddingFeed[],
  tokens: readonly (readonly number[])[],
  at: { ids: string; virtual: number; weights: TokenWeights | null },
): [name: string, tensor: Tensor][] {
  const seq = tokens[0]?.length ?? 0;
  return embeddings
    .filter(({ ids }) => ids === at.ids)
    .flatMap((embedding) => {
      const { width, delta, kept, virtualRows } = embedding;
      const data = embeddingDelta(embedding, tokens, at);
      const shape = data.length === width ? [1, 1, width] : [tokens.length, seq, width];
      const replaced = virtualRows === undefined ? 0 : at.virtual;
      return [
        [delta, float32Tensor(data, shape)],
        [kept, keptRows(seq, replaced)],
      ];
    });
}

/** [1, seq, 1]: 0 for the virtual tokens in front; a single 1 without any. */
function keptRows(seq: number, virtual: number): Tensor {
  if (virtual === 0) return float32Tensor(Float32Array.of(1), [1, 1, 1]);
  return float32Tensor(new Float32Array(seq).fill(1, virtual), [1, seq, 1]);
}

/** [batch, seq, width], or one row of zeros where no token gets anything. */
function embeddingDelta(
  { width, rowDelta, routedDelta, virtualRows }: EmbeddingFeed,
  tokens: readonly (readonly number[])[],
  { virtual, weights }: { virtual: number; weights: TokenWeights | null },
): Float32Array {
  const deltas = tokens.flatMap((row, i) => {
    const rows = virtualRows?.[i] ?? virtualRows?.[0];
    return row.map((id, place) => {
      if (place < virtual && rows) return rows.subarray(place * width, (place + 1) * width);
      if (!weights || !routedDelta) return rowDelta(id, i);
      const { count } = weights.of;
      const start = (i * row.length + place) * count;
      return routedDelta(id, weights.values.subarray(start, start + count));
    });
  });
  if (deltas.every((delta) => delta === null)) return new Float32Array(width);
  const out = new Float32Array(deltas.length * width);
  deltas.forEach((delta, i) => delta && out.set(delta, i * width));
  return out;
}
