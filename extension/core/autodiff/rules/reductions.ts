/** Sums and other reductions, softmax. */
import { binary, reduce, scatterAdd, unary } from "../../onnx/calculus.ts";
import { onnxTypes, type Value } from "../../onnx/graph.ts";
import type { Place, Rule } from "../place.ts";

/** A reduction's value or gradient with its axes at size 1 again. */
function kept(at: Place, x: Value): Value {
  const { g } = at;
  const shape = at.shape(0);
  if (at.int("keepdims", 1) === 1) return x;
  const axes = at.constant(1);
  if (axes) return g.node("Unsqueeze", [x, g.int64s(axes)])[0];
  if (at.has(1)) return g.node("Unsqueeze", [x, at.x(1)])[0];
  return shape ? g.reshape(x, Array<number>(shape.length).fill(1)) : x;
}

/** The same number for all that went into a sum, in their shape. */
function spread(at: Place, dy: Value): Value {
  const { g } = at;
  return g.node("Expand", [kept(at, dy), g.shapeOf(at.x(0))])[0];
}

/** How many numbers went into one, as a constant where that is known. */
function countOf(at: Place): Value {
  const { g } = at;
  const shape = at.shape(0);
  const axes = at.has(1) ? at.constant(1) : (shape?.map((_, i) => i) ?? null);
  const sizes = axes?.map((axis) => shape?.at(axis));
  if (sizes?.every((size) => typeof size === "number")) {
    return g.scalar(sizes.reduce((all, size) => all * size, 1));
  }
  const size = (of: Value): Value => g.cast(g.node("Size", [of])[0], onnxTypes.float32);
  return binary(g, "Div", [size(at.x(0)), size(at.y())]);
}

const sum: Rule = (at, dy) => [() => spread(at, dy)];

const mean: Rule = (at, dy) => [() => spread(at, binary(at.g, "Div", [dy, countOf(at)]))];

/** The largest (or smallest) entries get all; equal ones share, as in torch's amax. */
const extreme: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const isOwn = g.cast(binary(g, "Equal", [at.x(0), kept(at, at.y())]), onnxTypes.float32);
    const inputs = at.has(1) ? [isOwn, at.x(1)] : [isOwn];
    const count = g.node("ReduceSum", inputs, { attributes: at.node.attributes })[0];
    return g.mul(isOwn, kept(at, binary(g, "Div", [dy, count])));
  },
];

/** x / |x|; nothing for a length of 0, as in torch. */
const length: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const factor = binary(g, "Div", [dy, at.y()]);
    const isZero = binary(g, "Equal", [at.y(), g.scalar(0)]);
    return g.mul(at.x(0), kept(at, g.where(isZero, g.scalar(0), factor)));
  },
];

/** p · (dy − Σ dy·p) */
const softmax: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const weighted = g.mul(dy, at.y());
    const total = reduce(g, "ReduceSum", { x: weighted, axes: [at.int("axis", -1)] });
    return g.sub(weighted, g.mul(at.y(), total));
  },
];

/** dy − p · Σ dy. Where dy is zero but at the labels, so is what is added to the second part. */
const logSoftmax: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const axis = at.int("axis", -1);
    const rank = at.shape(0)?.length ?? 0;
    const p = unary(g, "Exp", at.y());
    const sparse = at.around.scattered.get(dy);
    const isAlong = sparse && (sparse.axis - axis) % (rank || Infinity) === 0;
    const terms = isAlong ? sparse.updates : dy;
    const total = reduce(g, "ReduceSum", { x: terms, axes: [axis] });
    if (!isAlong) return g.sub(dy, g.mul(p, total));
    return scatterAdd(g, g.mul(p, unary(g, "Neg", total)), sparse);
  },
];

export const reductions: Readonly<Record<string, Rule>> = {
  LogSoftmax: logSoftmax,
  ReduceL2: length,
  ReduceMax: extreme,
  ReduceMean: mean,
  ReduceMin: extreme,
  ReduceSum: sum,
  ReduceSumSquare: (at, dy) => [() => at.g.mul(at.x(0), kept(at, at.g.scale(dy, 2)))],
  Softmax: softmax,
};
