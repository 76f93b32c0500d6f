import { int } from "../onnx/attributes.ts";
import type { GraphBuilder } from "../onnx/builder.ts";
import { reduce } from "../onnx/calculus.ts";
import type { Dimension } from "../onnx/dimensions.ts";
import type { Value } from "../onnx/graph.ts";

type Sizes = readonly Dimension[] | null;

/**
 * Sums `gradient` over what broadcasting made of a value: the reverse of its way from `to` to `from`.
 * @param at.like the value that was broadcast; asked for only where its shape is not known
 */
export function sumTo(
  g: GraphBuilder,
  gradient: Value,
  { from, to, like }: { from: Sizes; to: Sizes; like: () => Value },
): Value {
  const axes = from && to && summedAxes(from, to);
  if (!axes) return sumLike(g, gradient, like());
  if (axes.length === 0) return gradient;
  const added = from.length - to.length;
  const isLeading = axes.length === added;
  const summed = reduce(g, "ReduceSum", { x: gradient, axes, keep: !isLeading });
  if (added === 0 || isLeading) return summed;
  const leading = Array.from({ length: added }, (_, i) => i);
  return g.node("Squeeze", [summed, g.int64s(leading)])[0];
}

/** Axes of `from` that a value of the shape `to` was repeated along; null where names do not tell. */
function summedAxes(from: readonly Dimension[], to: readonly Dimension[]): number[] | null {
  const added = from.length - to.length;
  const axes: number[] = [];
  for (const [i, size] of from.entries()) {
    const own = i < added ? 1 : (to[i - added] as Dimension);
    if (i >= added && (own === size ? own !== null : typeof own === "number" && own !== 1))
      continue;
    if (i >= added && own !== 1) return null;
    axes.push(i);
  }
  return axes;
}

/** The same where only a run knows the shapes: sums over every axis of which `like` has one entry. */
function sumLike(g: GraphBuilder, gradient: Value, like: Value): Value {
  const shape = g.shapeOf(like);
  const added = g.sub(g.shapeOf(g.shapeOf(gradient)), g.shapeOf(shape));
  const pads = g.concat([added, g.int64s([0])], 0);
  const one = g.int64Scalar(1);
  const padded = g.node("Pad", [shape, pads, one])[0];
  const isOne = g.node("Equal", [padded, one])[0];
  const axes = g.reshape(g.node("NonZero", [isOne])[0], [-1]);
  const attributes = { keepdims: int(1), noop_with_empty_axes: int(1) };
  const summed = g.node("ReduceSum", [gradient, axes], { attributes })[0];
  return g.node("Reshape", [summed, shape], { attributes: { allowzero: int(1) } })[0];
}
