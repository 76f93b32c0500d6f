/**
 * What an adapter does to a base, in one normal form for every method:
 *
 *     y = outputScale ⊙ base(inputScale ⊙ x) + B (A x) + Δ x + shift
 *
 * with base(x) = W x + b. Every part is linear in the adapter's weight, the form is closed under
 * composition, and merging reads off W' = outputScale W inputScale + B A + Δ, b' = outputScale b + shift.
 */

import { badRequest } from "../base/errors.ts";
import { type Turn, turnedBase, turnRows } from "./turn.ts";

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
  /** [in] */
  readonly inputScale?: Float32Array;
  /** [out] */
  readonly outputScale?: Float32Array;
  /** [out] */
  readonly shift?: Float32Array;
  /** Where `delta` and `shift` stem from mixing the base's outputs; it has no slot of its own. */
  readonly turn?: Turn;
}

/** The effect on an embedding table: what is added to a token's row, or null for nothing. */
export interface EmbeddingEffect {
  /** [dim] */
  rowDelta(id: number): Float32Array | null;
  /** Rows of a table that has grown; what a new one adds is counted from the row of token 0. */
  readonly rows?: number;
}

/** Tokens in front of every prompt, given as embeddings. */
export interface VirtualTokens {
  /** Path of the embedding that they bypass. */
  readonly path: string;
  readonly count: number;
  /** Per task (most have one) [count, hidden]: the tokens' embeddings less the table's row of token 0. */
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

/** Everything an adapter does, by Hugging Face module path. */
export interface AdapterEffects {
  readonly linear: ReadonlyMap<string, LinearEffect>;
  readonly embeddings?: ReadonlyMap<string, EmbeddingEffect>;
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
}

export interface LayerSize {
  readonly in: number;
  readonly out: number;
}

/** An effect at a weight: 1 is as trained, 0 neutral, linear between and beyond. */
export function weighted(effect: LinearEffect, weight: number): LinearEffect {
  if (weight === 1) return effect;
  const times = (values: Float32Array): Float32Array => values.map((value) => value * weight);
  const towards = (values: Float32Array): Float32Array =>
    values.map((value) => 1 + (value - 1) * weight);
  const { lowRank, gated, newRows, routed, delta, inputScale, outputScale, shift, turn } = effect;
  return {
    ...(lowRank && { lowRank: { ...lowRank, b: times(lowRank.b) } }),
    ...(gated && { gated: { ...gated, b: times(gated.b) } }),
    ...(newRows && { newRows }),
    ...(routed && { routed: { ...routed, b: times(routed.b) } }),
    ...(delta && { delta: times(delta) }),
    ...(inputScale && { inputScale: towards(inputScale) }),
    ...(outputScale && { outputScale: towards(outputScale) }),
    ...(shift && { shift: times(shift) }),
    ...(turn && { turn: { ...turn, factor: times(turn.factor) } }),
  };
}

/** First one effect, then another on its result: the order in which adapters are active. */
export function compose(first: LinearEffect, then: LinearEffect, size: LayerSize): LinearEffect {
  const { outputScale: rows, inputScale: columns } = then;
  const own = then.turn ? turnedBase(first, then, size.in) : then;
  const carry = ({ a, b, rank }: LowRank): LowRank => ({
    a: scaleColumns(a, columns, size.in),
    b: turnRows(b, then, rank),
    rank,
  });
  const moved = first.delta && turnRows(scaleColumns(first.delta, columns, size.in), then, size.in);
  return prune({
    lowRank: sideBySide(first.lowRank && carry(first.lowRank), then.lowRank, size),
    gated: sideBySide(first.gated && carry(first.gated), then.gated, size),
    newRows: then.newRows ?? first.newRows,
    routed: onlyOne(first.routed && carryRouted(first.routed, then, size), then.routed),
    delta: plus(moved, own.delta),
    inputScale: product(first.inputScale, columns),
    outputScale: product(first.outputScale, rows),
    shift: plus(first.shift && turnRows(first.shift, then, 1), own.shift),
  });
}

function carryRouted(routed: RoutedLowRank, then: LinearEffect, size: LayerSize): RoutedLowRank {
  return {
    ...routed,
    a: scaleColumns(routed.a, then.inputScale, size.in),
    router: scaleColumns(routed.router, then.inputScale, size.in),
    b: turnRows(routed.b, then, routed.rank),
  };
}

function onlyOne(
  x: RoutedLowRank | undefined,
  y: RoutedLowRank | undefined,
): RoutedLowRank | undefined {
  if (x && y) throw badRequest("Only one adapter that routes tokens can be active at a time.");
  return x ?? y;
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

function sideBySide(
  x: LowRank | undefined,
  y: LowRank | undefined,
  { in: inputs, out }: LayerSize,
): LowRank | undefined {
  if (!x || !y) return x ?? y;
  const rank = x.rank + y.rank;
  const a = new Float32Array(rank * inputs);
  a.set(x.a);
  a.set(y.a, x.a.length);
  const b = new Float32Array(out * rank);
  for (let row = 0; row < out; row++) {
    b.set(x.b.subarray(row * x.rank, (row + 1) * x.rank), row * rank);
    b.set(y.b.subarray(row * y.rank, (row + 1) * y.rank), row * rank + x.rank);
  }
  return { a, b, rank };
}

function plus(x: Float32Array | undefined, y: Float32Array | undefined): Float32Array | undefined {
  if (!x || !y) return x ?? y;
  return x.map((value, i) => value + (y[i] as number));
}

function product(
  x: Float32Array | undefined,
  y: Float32Array | undefined,
): Float32Array | undefined {
  if (!x || !y) return x ?? y;
  return x.map((value, i) => value * (y[i] as number));
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

function prune(effect: { [K in keyof LinearEffect]: LinearEffect[K] | undefined }): LinearEffect {
  return Object.fromEntries(Object.entries(effect).filter(([, part]) => part !== undefined));
}
