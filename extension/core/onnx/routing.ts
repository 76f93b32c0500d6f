/** Operators by which tokens find their experts; shapes in comments are the operators' own. */
import { int } from "./attributes.ts";
import type { GraphBuilder } from "./builder.ts";
import { onnxTypes, type Value } from "./graph.ts";

/** The largest entries of the last axis and their places, int64. */
export function largest(g: GraphBuilder, x: Value, count: number): [values: Value, at: Value] {
  return g.node("TopK", [x, g.int64s([count])], { count: 2 }) as [Value, Value];
}

/** Places in ascending order of the values [n]. */
export function sortedPlaces(g: GraphBuilder, values: Value): Value {
  const attributes = { axis: int(0), largest: int(0) };
  const [, places] = g.node("TopK", [values, shapeOf(g, values)], { count: 2, attributes });
  return places as Value;
}

/** The different values of all of x, ascending, [n]. */
export function distinct(g: GraphBuilder, x: Value): Value {
  return g.node("Unique", [x])[0];
}

/** 1 where a equals b, else 0; both are broadcast. */
export function matches(
  g: GraphBuilder,
  [a, b]: readonly [Value, Value],
  type: "float32" | "int64",
): Value {
  return g.cast(g.node("Equal", [a, b])[0], onnxTypes[type]);
}

/** Sums over `axis`, which goes unless it is kept with size 1. */
export function sum(
  g: GraphBuilder,
  x: Value,
  { axis, keep = false }: { axis: number; keep?: boolean },
): Value {
  const attributes = { keepdims: int(keep ? 1 : 0) };
  return g.node("ReduceSum", [x, g.int64s([axis])], { attributes })[0];
}

/** Sizes of some axes, [end − start]; of all without a range. */
export function shapeOf(g: GraphBuilder, x: Value, [start, end]: number[] = []): Value {
  const attributes = {
    ...(start !== undefined && { start: int(start) }),
    ...(end !== undefined && { end: int(end) }),
  };
  return g.node("Shape", [x], { attributes })[0];
}

/** x in a shape that is known at run time; a size may be 0. */
export function reshapeTo(g: GraphBuilder, x: Value, sizes: readonly Value[]): Value {
  const attributes = { allowzero: int(1) };
  return g.node("Reshape", [x, g.concat(sizes, 0)], { attributes })[0];
}

/** x in a shape whose last size is known at run time; 0 keeps a size, -1 takes what is left. */
export function reshapeBy(
  g: GraphBuilder,
  x: Value,
  { first, last }: { first: readonly number[]; last: Value },
): Value {
  return g.node("Reshape", [x, g.concat([g.int64s(first), last], 0)])[0];
}
