/** Effects at weights, and one after another: the algebra of the normal form in effect.ts. */
import { scaled } from "../base/matrix.ts";
import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import {
  addProduct,
  type LayerSize,
  type LinearEffect,
  type LowRank,
  type RoutedLowRank,
  scaleColumns,
} from "./effect.ts";
import { partly, rotatedBase } from "./rotation.ts";
import { turnedBase, turnRows } from "./turn.ts";

/** An effect at a weight: 1 is as trained, 0 neutral, linear between and beyond. */
export function weighted(effect: LinearEffect, weight: number): LinearEffect {
  if (weight === 1) return effect;
  const times = (values: Float32Array): Float32Array => scaled(values, weight);
  const towards = (values: Float32Array): Float32Array =>
    values.map((value) => 1 + (value - 1) * weight);
  const { lowRank, gated, newRows, routed, fed, delta, inputScale, outputScale, shift, turn } =
    effect;
  const { rotation, taken } = effect;
  return {
    ...(rotation && { rotation: partly(rotation, weight) }),
    ...(taken && { taken: { ...taken, b: times(taken.b) } }),
    ...(lowRank && { lowRank: { ...lowRank, b: times(lowRank.b) } }),
    ...(gated && { gated: { ...gated, b: times(gated.b) } }),
    ...(newRows && { newRows }),
    ...(routed && { routed: { ...routed, b: times(routed.b) } }),
    ...(fed && { fed: { ...fed, b: times(fed.b) } }),
    ...(delta && { delta: times(delta) }),
    ...(inputScale && { inputScale: towards(inputScale) }),
    ...(outputScale && { outputScale: towards(outputScale) }),
    ...(shift && { shift: times(shift) }),
    ...(turn && { turn: { ...turn, factor: times(turn.factor) } }),
  };
}

/** First one effect, then another on its result: the order in which adapters are active. */
export function compose(before: LinearEffect, then: LinearEffect, size: LayerSize): LinearEffect {
  const first = then.rotation?.perOutput ? asDelta(before, size) : before;
  const { outputScale: rows, inputScale: columns } = then;
  const own = onBase(first, then, size.in);
  const onInput = (matrix: Float32Array): Float32Array => {
    const scaled = scaleColumns(matrix, columns, size.in);
    return then.rotation ? then.rotation.rows(scaled) : scaled;
  };
  const carry = ({ a, b, rank }: LowRank): LowRank => ({
    a: onInput(a),
    b: turnRows(b, then, rank),
    rank,
  });
  const moved = first.delta && turnRows(onInput(first.delta), then, size.in);
  const both = sideBySide(first.lowRank && carry(first.lowRank), own.lowRank, size);
  return prune({
    lowRank: sideBySide(both, takenTwice(first.taken, then.taken), size),
    gated: sideBySide(first.gated && carry(first.gated), then.gated, size),
    newRows: then.newRows ?? (first.newRows && onInput(first.newRows)),
    routed: onlyOne(first.routed && carryRouted(first.routed, then, onInput), then.routed),
    fed: then.fed ?? first.fed,
    taken: larger(first.taken, then.taken),
    // What stands before it has changed no weight.
    rotation: Object.keys(first).every((part) => part === "shift") ? then.rotation : undefined,
    delta: plus(moved, own.delta),
    inputScale: product(first.inputScale, columns),
    outputScale: product(first.outputScale, rows),
    shift: plus(first.shift && turnRows(first.shift, then, 1), own.shift),
  });
}

function carryRouted(
  routed: RoutedLowRank,
  then: LinearEffect,
  onInput: (matrix: Float32Array) => Float32Array,
): RoutedLowRank {
  return {
    ...routed,
    a: onInput(routed.a),
    router: onInput(routed.router),
    b: turnRows(routed.b, then, routed.rank),
  };
}

/** The same with its low-rank update written out, for what treats every output differently. */
function asDelta(effect: LinearEffect, size: LayerSize): LinearEffect {
  const { lowRank, delta, gated, routed, fed, newRows, ...rest } = effect;
  if (gated ?? routed ?? fed ?? newRows) {
    throw badRequest(
      t(
        "A MiSS adapter of kind bat acts on the whole weight: it cannot follow an adapter that acts on some tokens alone. Name it first.",
      ),
    );
  }
  if (!lowRank) return effect;
  const out = Float64Array.from(delta ?? new Float32Array(size.in * size.out));
  addProduct(out, lowRank, size.in);
  return { ...rest, delta: Float32Array.from(out) };
}

/** What an effect does to the base as an effect before has left it. */
function onBase(
  first: LinearEffect,
  then: LinearEffect,
  inputs: number,
): Pick<LinearEffect, "lowRank" | "delta" | "shift"> {
  if (then.rotation) return rotatedBase(first, then, inputs);
  const { lowRank } = then;
  return then.turn ? { ...(lowRank && { lowRank }), ...turnedBase(first, then, inputs) } : then;
}

function larger(x: LowRank | undefined, y: LowRank | undefined): LowRank | undefined {
  return x && y ? (x.rank > y.rank ? x : y) : (x ?? y);
}

/** What gives back the smaller of two parts that were taken from one base. */
function takenTwice(x: LowRank | undefined, y: LowRank | undefined): LowRank | undefined {
  if (!x || !y) return undefined;
  const smaller = x.rank > y.rank ? y : x;
  return { ...smaller, b: smaller.b.map((value) => -value) };
}

function onlyOne(
  x: RoutedLowRank | undefined,
  y: RoutedLowRank | undefined,
): RoutedLowRank | undefined {
  if (x && y) throw badRequest(t("Only one adapter that routes tokens can be active at a time."));
  return x ?? y;
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

function prune(effect: { [K in keyof LinearEffect]: LinearEffect[K] | undefined }): LinearEffect {
  return Object.fromEntries(Object.entries(effect).filter(([, part]) => part !== undefined));
}
