/** Arithmetic that formulas and gradients are written in; what models are made of is in builder.ts. */
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
