/** Operators that lay values out anew. */
import { int, ints } from "../../onnx/attributes.ts";
import { reduce, scatterAdd, filled } from "../../onnx/calculus.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { type Part, type Place, type Rule, withoutRule } from "../place.ts";

/** dy in the shape of the input, by numbers wherever they are known before a run. */
const reshape: Rule = (at, dy) => [() => asInput(at, dy)];

function asInput(at: Place, dy: Value): Value {
  const { g } = at;
  const [from, to] = [at.outputShape(), at.shape(0)];
  const sizes = to?.map((size, i) => {
    if (typeof size === "number") return size;
    return size !== null && size === from?.[i] ? 0 : -1;
  });
  const isClear = sizes && sizes.filter((size) => size === -1).length <= 1;
  if (isClear) return g.reshape(dy, sizes);
  const attributes = { allowzero: int(1) };
  return g.node("Reshape", [dy, g.shapeOf(at.x(0))], { attributes })[0];
}

const transpose: Rule = (at, dy) => [
  () => {
    const perm = at.node.attributes["perm"];
    if (perm?.kind !== "ints") return at.g.node("Transpose", [dy])[0];
    const back = perm.value.map((_, axis) => perm.value.indexOf(axis));
    return at.g.node("Transpose", [dy], { attributes: { perm: ints(back) } })[0];
  },
];

const expand: Rule = (at, dy) => [() => at.sumTo(0, dy)];

/** The copies along each axis, put on an axis of their own, are summed. */
const tile: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const rank = at.shape(0)?.length ?? at.constant(1)?.length;
    if (rank === undefined) throw withoutRule(at, "an unknown number of axes");
    const rows = [at.x(1), g.shapeOf(at.x(0))].map((each) => g.unsqueeze(each, 1));
    const sizes = g.reshape(g.concat(rows, 1), [-1]);
    const apart = g.node("Reshape", [dy, sizes], { attributes: { allowzero: int(1) } })[0];
    const axes = Array.from({ length: rank }, (_, i) => 2 * i);
    return reduce(g, "ReduceSum", { x: apart, axes, keep: false });
  },
];

/** Each input's own part of dy. */
const concat: Rule = (at, dy) => {
  const { g, node } = at;
  const axis = at.axis(0);
  const sizes = node.inputs.map((_, i) => at.shape(i)?.[axis] ?? null);
  const fixed = sizes.every((size) => typeof size === "number") ? sizes : null;
  const wanted = node.inputs.flatMap((_, i) => (at.needs(i) ? [i] : []));
  if (fixed && wanted.length === 1) {
    return fixed.map((size, i): Part => {
      const start = fixed.slice(0, i).reduce((sum, each) => sum + each, 0);
      const range = [[start], [start + size], [axis]].map((each) => g.int64s(each));
      return () => g.node("Slice", [dy, ...range])[0];
    });
  }
  let parts: readonly Value[] | undefined;
  const split = (): readonly Value[] => {
    if (fixed) return g.split(dy, fixed, axis);
    const lengths = node.inputs.map((_, i) => {
      const size = sizes[i];
      return typeof size === "number" ? g.int64s([size]) : g.sizeOf(at.x(i), axis);
    });
    return g.splitBy(dy, g.concat(lengths, 0), { parts: sizes.length, axis });
  };
  return node.inputs.map((_, i) => () => (parts ??= split())[i] as Value);
};

const split: Rule = (at) => [
  () => {
    const { g, node } = at;
    const parts = node.outputs.map((_, i) => at.dy(i) ?? filled(g, 0, g.shapeOf(at.y(i))));
    return g.concat(parts, at.axis(0));
  },
];

/** dy among zeros. */
const slice: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const shape = at.shape(0);
    const starts = at.constant(1);
    const axes = at.has(3) ? at.constant(3) : (starts?.map((_, i) => i) ?? null);
    const steps = at.has(4) ? at.constant(4) : axes?.map(() => 1);
    if (!axes || !shape) throw withoutRule(at, "axes that only a run knows");
    const isPlain = steps?.every((step) => step === 1) && starts?.every((start) => start >= 0);
    if (!isPlain || !starts) return spreadSlices(at, dy, axes);
    const before = g.int64s(starts);
    const sizesOf = (x: Value): Value => g.gather(g.shapeOf(x), g.int64s(axes));
    const after = g.sub(g.sub(sizesOf(at.x(0)), sizesOf(dy)), before);
    const pads = g.concat([before, after], 0);
    return g.node("Pad", [dy, pads, "", g.int64s(axes)])[0];
  },
];

/** The same where slices go backwards, in steps or from the end: axis by axis. */
function spreadSlices(at: Place, dy: Value, axes: readonly number[]): Value {
  const { g } = at;
  const bound = (input: number, i: number): Value => g.gather(at.x(input), g.int64s([i]));
  return axes.reduce((made, given, i) => {
    const rank = at.shape(0)?.length ?? 0;
    const axis = given < 0 ? given + rank : given;
    const size = g.sizeOf(at.x(0), axis);
    const all = g.range(g.int64Scalar(0), g.squeeze(size, 0));
    const step = at.has(4) ? [bound(4, i)] : [];
    const ids = g.node("Slice", [all, bound(1, i), bound(2, i), g.int64s([0]), ...step])[0];
    const shape = g.shapeOf(made);
    const part = (from: number, to: number): Value =>
      g.node("Slice", [shape, g.int64s([from]), g.int64s([to])])[0];
    const sizes = g.concat([part(0, axis), size, part(axis + 1, 2 ** 31)], 0);
    return scatterAdd(g, filled(g, 0, sizes), {
      ...along(g, { ids, like: made, axis, rank }),
      axis,
    });
  }, dy);
}

/** Places `ids` [n] along an axis, for every entry of `like`, which has n there. */
export function along(
  g: GraphBuilder,
  { ids, like, axis, rank }: { ids: Value; like: Value; axis: number; rank: number },
): { ids: Value; updates: Value } {
  const sizes = Array.from({ length: rank }, (_, i) => (i === axis ? -1 : 1));
  const wide = g.node("Expand", [g.reshape(ids, sizes), g.shapeOf(like)])[0];
  return { ids: wide, updates: like };
}

/** What was added goes; only constants are. */
const pad: Rule = (at, dy) => [
  () => {
    const { g } = at;
    if (at.text("mode", "constant") !== "constant") throw withoutRule(at, "this mode");
    const pads = at.constant(1);
    const shape = at.shape(0);
    const axes = at.has(3) ? at.constant(3) : (shape?.map((_, i) => i) ?? null);
    if (!pads || !axes) throw withoutRule(at, "sizes that only a run knows");
    const before = g.int64s(pads.slice(0, axes.length));
    const sizes = g.gather(g.shapeOf(at.x(0)), g.int64s(axes));
    return g.node("Slice", [dy, before, g.add(before, sizes), g.int64s(axes)])[0];
  },
];

/** Sums up to a place, as sums from it on. */
const cumSum: Rule = (at, dy) => [
  () => {
    const attributes = { ...at.node.attributes, reverse: int(1 - at.int("reverse", 0)) };
    return at.g.node("CumSum", [dy, at.x(1)], { attributes })[0];
  },
];

const trilu: Rule = (at, dy) => [
  () => {
    const { inputs, attributes } = at.node;
    const rest = inputs.slice(1).map((name, i) => (name === "" ? name : at.x(i + 1)));
    return at.g.node("Trilu", [dy, ...rest], { attributes })[0];
  },
];

export const layout: Readonly<Record<string, Rule>> = {
  Concat: concat,
  CumSum: cumSum,
  Expand: expand,
  Flatten: reshape,
  Pad: pad,
  Reshape: reshape,
  Slice: slice,
  Split: split,
  Squeeze: reshape,
  Tile: tile,
  Transpose: transpose,
  Trilu: trilu,
  Unsqueeze: reshape,
};
