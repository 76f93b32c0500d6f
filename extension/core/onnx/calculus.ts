/** Operators by families, and formulas of several; single operators are methods of builder.ts. */
import { float, int, text } from "./attributes.ts";
import type { GraphBuilder } from "./builder.ts";
import type { Value } from "./graph.ts";

/** Operators of one value that keep its shape. */
export type Unary =
  | "Abs"
  | "Cos"
  | "Erf"
  | "Exp"
  | "IsNaN"
  | "Log"
  | "Neg"
  | "Not"
  | "Reciprocal"
  | "Sigmoid"
  | "Sign"
  | "Sin"
  | "Sqrt"
  | "Tanh";

export function unary(g: GraphBuilder, op: Unary, x: Value): Value {
  return g.node(op, [x])[0];
}

/** Operators of two values, which are broadcast. */
export type Binary =
  | "Add"
  | "Div"
  | "Equal"
  | "Greater"
  | "GreaterOrEqual"
  | "Less"
  | "LessOrEqual"
  | "Max"
  | "Min"
  | "Mul"
  | "Pow"
  | "Sub";

export function binary(g: GraphBuilder, op: Binary, [a, b]: readonly [Value, Value]): Value {
  return g.node(op, [a, b])[0];
}

/** alpha · op(a) · op(b), each transposed in its last two axes where that is asked for. */
export function product(
  g: GraphBuilder,
  [a, b]: readonly [Value, Value],
  { transA = false, transB = false, alpha = 1 }: ProductOptions = {},
): Value {
  if (!transA && !transB && alpha === 1) return g.matMul(a, b);
  return g.node("FusedMatMul", [a, b], {
    domain: "com.microsoft",
    attributes: {
      ...(transA && { transA: int(1) }),
      ...(transB && { transB: int(1) }),
      ...(alpha !== 1 && { alpha: float(alpha) }),
    },
  })[0];
}

export interface ProductOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly alpha?: number;
}

export type Reduction =
  "ReduceL2" | "ReduceMax" | "ReduceMean" | "ReduceMin" | "ReduceSum" | "ReduceSumSquare";

/** x over `axes`, which stay with size 1 unless `keep` is false. */
export function reduce(
  g: GraphBuilder,
  op: Reduction,
  { x, axes, keep = true }: { x: Value; axes: readonly number[]; keep?: boolean },
): Value {
  const attributes = { keepdims: int(keep ? 1 : 0) };
  return g.node(op, [x, g.int64s(axes)], { attributes })[0];
}

/** A value that is the same everywhere, in the shape that `sizes` [rank] says. */
export function filled(g: GraphBuilder, value: number, sizes: Value): Value {
  return g.node("Expand", [g.scalar(value), sizes])[0];
}

/** `onto` with `updates` added at `ids` along `axis`; a place that is named twice gets both. */
export function scatterAdd(
  g: GraphBuilder,
  onto: Value,
  { ids, updates, axis }: { ids: Value; updates: Value; axis: number },
): Value {
  const attributes = { axis: int(axis), reduction: text("add") };
  return g.node("ScatterElements", [onto, ids, updates], { attributes })[0];
}

/** cap · tanh(factor · x / cap): x where it is small, never beyond ± cap. */
export function softCap(g: GraphBuilder, x: Value, cap: number, factor = 1): Value {
  return g.scale(g.tanh(g.scale(x, factor / cap)), cap);
}

/** The last axis with all but its largest entries at −3.4e38; `like` [n] says by its size how many stay. */
export function keepLargest(g: GraphBuilder, x: Value, like: Value): Value {
  const [largest] = g.node("TopK", [x, g.shapeOf(like)], { count: 2 });
  const least = reduce(g, "ReduceMin", { x: largest, axes: [-1] });
  const isSmaller = binary(g, "Less", [x, least]);
  return g.where(isSmaller, g.float32s("const.float32.lowest", Float32Array.of(-3.4e38), []), x);
}

/** The first n entries of x's last axis, where n is the size of `like`'s axis -2. */
export function firstColumns(g: GraphBuilder, x: Value, like: Value): Value {
  const count = g.gather(g.shapeOf(like), g.int64s([-2]));
  return g.node("Slice", [x, g.int64s([0]), count, g.int64s([-1])])[0];
}

/** x with the entry i / block, rounded down, at each of `size` places i along `axis`. */
export function spread(
  g: GraphBuilder,
  x: Value,
  { axis, size, block }: { axis: number; size: number; block: number },
): Value {
  const places = Array.from({ length: size }, (_, i) => Math.floor(i / block));
  return g.gather(x, g.int64s(places, `blocks.${size}.${block}`), axis);
}
