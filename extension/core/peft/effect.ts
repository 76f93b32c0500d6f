/**
 * What an adapter does to a base, in one normal form for every method:
 *
 *     y = outputScale ⊙ base(inputScale ⊙ x) + B (A x) + Δ x + shift
 *
 * with base(x) = W x + b. Every part is linear in the adapter's weight, the form is closed under
 * composition, and merging reads off W' = outputScale W inputScale + B A + Δ, b' = outputScale b + shift.
 */

import type { WeightRef } from "../checkpoint/baseCheckpoint.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { ExpertEffect } from "./experts/effect.ts";
import type { Rotation } from "./rotation.ts";
import type { Turn } from "./turn.ts";

/** Low-rank update; scaling is folded into b. */
export interface LowRank {
  /** [rank, in] */
  readonly a: Float32Array;
  /** [out, rank] */
  readonly b: Float32Array;
  readonly rank: number;
}

/**
 * Low-rank updates of several experts, mixed anew for every token: B (g(x) ⊙ (A x)), where each rank
 * takes the weight of its expert.
 */
export interface RoutedLowRank extends LowRank {
  /** Expert of each rank, counted from 0. [rank] */
  readonly expertOf: Int32Array;
  /** [experts, in] */
  readonly router: Float32Array;
  /** How router · x becomes weights, a softmax in the end. */
  readonly gate: Gate;
}

export type Gate =
  /** Averaged over all tokens of the pass. */
  | { readonly kind: "mean" }
  /** Of the absolute values, over the `count` largest; the others get nothing. */
  | { readonly kind: "largest"; readonly count: number };

/**
 * Low-rank updates of several experts whose weights the adapter's router hands in anew for every
 * token: B (g ⊙ (A x)).
 */
export interface FedLowRank extends LowRank {
  /** Which of the router's weights each rank takes. [rank] */
  readonly weightOf: Int32Array;
  /** Weight of each rank in the pass that the router reads. [rank] */
  readonly first: Float32Array;
}

/** Weighs an adapter's experts by what the model makes of each token in a pass before. */
export interface Router {
  /** Size of what it reads of a token: the stream behind the model's last norm. */
  readonly hidden: number;
  /** Weights of a token. */
  readonly count: number;
  /** [tokens, hidden] → [tokens, count] */
  weights(hidden: Float32Array): Float32Array;
}

/** The effect on one linear layer; an absent part is neutral. */
export interface LinearEffect {
  readonly lowRank?: LowRank;
  /** Δ [out, in], where no cheaper form exists. */
  readonly delta?: Float32Array;
  /** Low-rank update of those tokens alone that the adapter's `activation` finds. */
  readonly gated?: LowRank;
  /** Rows [new, in] behind the base's own, for outputs that the base has not (a grown vocabulary). */
  readonly newRows?: Float32Array;
  /** Not linear in x: it cannot be merged, and only one adapter may have it at a time. */
  readonly routed?: RoutedLowRank;
  /** Weighed by the adapter's `router`; such an adapter is active alone. */
  readonly fed?: FedLowRank;
  /** [in] */
  readonly inputScale?: Float32Array;
  /** [out] */
  readonly outputScale?: Float32Array;
  /** [out] */
  readonly shift?: Float32Array;
  /** Where `delta` and `shift` stem from mixing the base's outputs; it has no slot of its own. */
  readonly turn?: Turn;
  /** Where `lowRank` or `delta` stems from turning the base's inputs; it has no slot of its own. */
  readonly rotation?: Rotation;
  /** The part of `lowRank` that the method takes from the base: of several adapters' the largest counts. */
  readonly taken?: LowRank;
}

/** The effect on an embedding table: what is added to a token's row, or null for nothing. */
export interface EmbeddingEffect {
  /** [dim] */
  rowDelta(id: number): Float32Array | null;
  /** What becomes of what adapters before have added to a row [dim]; it stays as it is when absent. */
  carry?(added: Float32Array): Float32Array;
  /** What the rows are where they are of low rank: columns of B A [dim, tokens], for whoever looks at it. */
  readonly lowRank?: LowRank;
  /** Ids of the rows that are replaced, where not the whole table is changed. */
  readonly tokens?: readonly number[];
  /** The same under a router's weights of the token [count]; `rowDelta` is then the pass before. */
  routedDelta?(id: number, weights: Float32Array): Float32Array;
  /** Rows of a table that has grown; what a new one adds is counted from the row of token 0. */
  readonly rows?: number;
}

/** Tokens in front of every prompt, given as embeddings. */
export interface VirtualTokens {
  /** Path of the embedding that they bypass. */
  readonly path: string;
  readonly count: number;
  /** Per task (most have one) the tokens' embeddings [count, hidden]. */
  readonly tasks: readonly Float32Array[];
}

/** Keys and values that stand in the cache before the prompt; keys are as attention reads them. */
export interface CachePrefix {
  readonly count: number;
  /** Per layer [kv heads, count, dim]. */
  readonly keys: readonly Float32Array[];
  readonly values: readonly Float32Array[];
}

/**
 * Keys and values that a layer's queries attend to besides the sequence, with a softmax of their
 * own; the result is added to what attention mixes from the sequence.
 */
export interface AttentionPrompt {
  readonly count: number;
  /** [kv heads, count, dim], not rotated. */
  readonly keys: Float32Array;
  /** [kv heads, count, dim] */
  readonly values: Float32Array;
}

/** Which tokens gated updates change: from the start of the last place in the prompt where these stand. */
export interface Activation {
  readonly tokens: readonly number[];
}

/** A network of two layers with GELU between, in the layout of graph inputs. */
export interface SmallNetwork {
  /** [hidden, width] */
  readonly inner: Float32Array;
  /** [width] */
  readonly innerBias: Float32Array;
  /** [width, hidden] */
  readonly outer: Float32Array;
  /** [hidden] */
  readonly outerBias: Float32Array;
}

/**
 * How a companion's state s is joined to a block: the block reads h + Up Down (h − s), and what it
 * gives, h', updates the state: s + sigmoid(gate(h')) ⊙ (candidate(h') − s).
 */
export interface CompanionBlock {
  readonly rank: number;
  readonly width: number;
  /** [hidden, rank] */
  readonly down: Float32Array;
  /** [rank, hidden], strength folded in. */
  readonly up: Float32Array;
  readonly candidate: SmallNetwork;
  readonly gate: SmallNetwork;
}

/**
 * A smaller decoder that reads the same tokens as the base. What it makes of each is the state that
 * rides beside the base's stream through some blocks.
 */
export interface Companion {
  /** Size of the base's stream, and of the state. */
  readonly hidden: number;
  readonly config: ModelConfig;
  /** Weights by the names of a decoder's checkpoint. */
  readonly weights: ReadonlyMap<string, WeightRef>;
  /** True when it reads the base's embedding, with what the adapter adds to it. */
  readonly sharesEmbedding: boolean;
  /** [hidden, the companion's own]; null where the sizes are equal. */
  readonly projection: Float32Array | null;
  /** By the path of a block ("model.layers.0"). */
  readonly blocks: ReadonlyMap<string, CompanionBlock>;
}

/** Everything an adapter does, by Hugging Face module path. */
export interface AdapterEffects {
  readonly linear: ReadonlyMap<string, LinearEffect>;
  readonly embeddings?: ReadonlyMap<string, EmbeddingEffect>;
  /** By the name of a parameter that all experts of a layer share ("….mlp.experts.down_proj"). */
  readonly experts?: ReadonlyMap<string, ExpertEffect>;
  /** Weights that replace a norm's, [size]. */
  readonly norms?: ReadonlyMap<string, Float32Array>;
  readonly virtualTokens?: VirtualTokens;
  readonly cachePrefix?: CachePrefix;
  /** What the adapter does for each of its tasks, where it holds several; the rest is task 0. */
  readonly tasks?: readonly AdapterEffects[];
  readonly activation?: Activation;
  /** Layers of the base in the order in which they run, where that is not each once. */
  readonly layers?: readonly number[];
  /** By the path of an attention block ("model.layers.0.self_attn"). */
  readonly attention?: ReadonlyMap<string, AttentionPrompt>;
  /** Parameters that are stored whole, by name: of several active adapters only one can replace each. */
  readonly replaces?: ReadonlySet<string>;
  /** Runs beside the base; such an adapter is active alone. */
  readonly companion?: Companion;
  /** Weighs `fed` updates and embeddings. */
  readonly router?: Router;
}

export interface LayerSize {
  readonly in: number;
  readonly out: number;
}

/** W' [out, in] of a weight W [out, in]: what merging writes. */
export function mergedWeight(
  weight: Float32Array,
  effect: LinearEffect,
  size: LayerSize,
): Float32Array {
  const { lowRank, delta, inputScale, outputScale } = effect;
  const scaled = scaleRows(scaleColumns(weight, inputScale, size.in), outputScale, size.in);
  const out = Float64Array.from(scaled);
  if (delta) delta.forEach((value, i) => (out[i] = (out[i] as number) + value));
  if (lowRank) addProduct(out, lowRank, size.in);
  return Float32Array.from(out);
}

/** b' [out] of a bias b [out] (zeros where the layer has none). */
export function mergedBias(bias: Float32Array, { outputScale, shift }: LinearEffect): Float32Array {
  return bias.map((value, i) => value * (outputScale?.[i] ?? 1) + (shift?.[i] ?? 0));
}

/** target [out, in] += b a, accumulated in fp64. */
export function addProduct(target: Float64Array, { a, b, rank }: LowRank, inputs: number): void {
  for (let row = 0; row < b.length / rank; row++) {
    for (let r = 0; r < rank; r++) {
      const factor = b[row * rank + r] as number;
      if (factor === 0) continue;
      const start = row * inputs;
      for (let column = 0; column < inputs; column++) {
        const i = start + column;
        target[i] = (target[i] as number) + factor * (a[r * inputs + column] as number);
      }
    }
  }
}

/** Row i of a matrix with `columns` columns times scale[i]. */
export function scaleRows(
  matrix: Float32Array,
  scale: Float32Array | undefined,
  columns: number,
): Float32Array {
  return scale
    ? matrix.map((value, i) => value * (scale[Math.floor(i / columns)] as number))
    : matrix;
}

/** Column j of a matrix with `columns` columns times scale[j]. */
export function scaleColumns(
  matrix: Float32Array,
  scale: Float32Array | undefined,
  columns: number,
): Float32Array {
  return scale ? matrix.map((value, i) => value * (scale[i % columns] as number)) : matrix;
}
