/** What operators make of types and shapes, a table of operator and rule. */
import { broadcast, type Dimension, quotient, sum } from "./dimensions.ts";
import { type Node, type OnnxType, onnxTypes } from "./graph.ts";

/** What is known of a value before a run. */
export interface Known {
  readonly type: OnnxType;
  readonly shape: readonly Dimension[];
}

export interface ShapePlace {
  readonly node: Node;
  /** Per input; undefined where it is left out or nothing is known. */
  readonly inputs: readonly (Known | undefined)[];
  /** The numbers of an input that is an int64 constant. */
  constant(input: number): readonly number[] | null;
  /** The entries of an int64 input as far as they are sizes of other values; null where nothing is known. */
  sizes(input: number): readonly Dimension[] | null;
}

/** What a node makes, one entry an output; null where that is not known. */
type Rule = (x: Known, place: ShapePlace) => readonly (Known | null)[] | null;

const same: Rule = (x, { node }) => node.outputs.map(() => x);

const elementwise: Rule = (x, { inputs }) => {
  let shape: readonly Dimension[] = x.shape;
  for (const other of inputs.slice(1)) {
    if (!other) return null;
    shape = broadcastShapes(shape, other.shape);
  }
  return [{ type: x.type, shape }];
};

const comparison: Rule = (x, place) =>
  elementwise(x, place)?.map((made) => made && { ...made, type: "bool" }) ?? null;

/** A product whose factors may lie transposed. */
const transposable: Rule = (x, { node, inputs }) => {
  if (intOf(node, "transBatchA") === 1 || intOf(node, "transBatchB") === 1) return null;
  const [rows, columns] = [intOf(node, "transA") === 1, intOf(node, "transB") === 1];
  return product(x, inputs[1], { rows: rows ? -1 : -2, columns: columns ? -2 : -1 });
};

const reduction: Rule = (x, place) => {
  const rank = x.shape.length;
  const axes = place.inputs[1] ? place.constant(1) : [];
  if (axes === null) return null;
  const isAll = axes.length === 0 && intOf(place.node, "noop_with_empty_axes") !== 1;
  const own = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  const isGone = (i: number): boolean => isAll || own.has(i);
  const keeps = intOf(place.node, "keepdims") !== 0;
  const shape = keeps
    ? x.shape.map((size, i) => (isGone(i) ? 1 : size))
    : x.shape.filter((_, i) => !isGone(i));
  return [{ type: x.type, shape }];
};

const normalisation: Rule = (x, { node }) =>
  node.outputs.map((_, i) => (i === 0 ? x : { ...x, shape: x.shape.with(-1, 1) }));

/** A value that is the same everywhere, of the shape that its input says. */
const constantOfShape: Rule = (_x, place) => {
  const shape = place.sizes(0);
  const value = place.node.attributes["value"];
  return shape && [{ type: value?.kind === "tensor" ? value.value.type : "float32", shape }];
};

const named = (ops: string, rule: Rule): Record<string, Rule> =>
  Object.fromEntries(ops.split(" ").map((op) => [op, rule]));

const axesGone = (x: Known, axes: readonly number[]): Known => {
  const gone = new Set(axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis)));
  return { ...x, shape: x.shape.filter((_, i) => !gone.has(i)) };
};

const layout: Readonly<Record<string, Rule>> = {
  Gather: (x, { node, inputs }) => {
    const ids = inputs[1];
    const axis = axisOf(node, x, 0);
    return ids ? [{ ...x, shape: x.shape.toSpliced(axis, 1, ...ids.shape) }] : null;
  },
  GatherElements: (x, { inputs }) => (inputs[1] ? [{ ...x, shape: inputs[1].shape }] : null),
  Concat: (x, { node, inputs }) => {
    const axis = axisOf(node, x);
    const parts = inputs.map((each) => each?.shape[axis] ?? null);
    return [{ ...x, shape: x.shape.with(axis, sum(parts)) }];
  },
  Split: (x, place) => {
    const { node } = place;
    const axis = axisOf(node, x, 0);
    const sizes = place.sizes(1);
    const count = intOf(node, "num_outputs");
    const even = count === undefined ? null : quotient([x.shape[axis] ?? null], [count]);
    return node.outputs.map((_, i) => ({ ...x, shape: x.shape.with(axis, sizes?.[i] ?? even) }));
  },
  Transpose: (x, { node: { attributes } }) => {
    const perm = attributes["perm"];
    if (perm?.kind !== "ints") return null;
    return [{ ...x, shape: perm.value.map((axis) => x.shape[axis] ?? null) }];
  },
  Unsqueeze: (x, place) => {
    const axes = place.constant(1);
    if (!axes) return null;
    const rank = x.shape.length + axes.length;
    const own = axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b);
    const shape = own.reduce<Dimension[]>((made, axis) => made.toSpliced(axis, 0, 1), [...x.shape]);
    return [{ ...x, shape }];
  },
  Squeeze: (x, place) => {
    const axes = place.constant(1);
    return axes && [axesGone(x, axes)];
  },
  Reshape: (x, place) => {
    const sizes = place.sizes(1);
    if (!sizes) return null;
    const isCopied = intOf(place.node, "allowzero") !== 1;
    const shape = sizes.map((size, i) => (size === 0 && isCopied ? (x.shape[i] ?? null) : size));
    const rest = shape.indexOf(-1);
    if (rest === -1) return [{ ...x, shape }];
    return [{ ...x, shape: shape.with(rest, quotient(x.shape, shape.toSpliced(rest, 1))) }];
  },
  Expand: (x, place) => {
    const sizes = place.sizes(1);
    return sizes && [{ ...x, shape: broadcastShapes(x.shape, sizes) }];
  },
  Tile: (x, place) => {
    const times = place.constant(1);
    if (!times) return null;
    const sizes = x.shape.map((size, i) =>
      times[i] === 1 ? size : quotient([size, times[i] ?? null], [1]),
    );
    return [{ ...x, shape: sizes }];
  },
  Slice: (x, place) => {
    const [starts, ends, steps] = [place.constant(1), place.constant(2), place.constant(4)];
    const axes = place.inputs[3] ? place.constant(3) : x.shape.map((_, i) => i);
    if (!axes) return null;
    const shape = [...x.shape];
    axes.forEach((given, i) => {
      const axis = given < 0 ? given + x.shape.length : given;
      const isPlain = place.inputs[4] === undefined || steps?.[i] === 1;
      shape[axis] = isPlain ? sliced(x.shape[axis] ?? null, starts?.[i], ends?.[i]) : null;
    });
    return [{ ...x, shape }];
  },
  Pad: (x, place) => {
    const pads = place.constant(1);
    if (!pads || place.inputs[3]) return null;
    const rank = x.shape.length;
    const shape = x.shape.map((size, i) => {
      const more = (pads[i] ?? 0) + (pads[i + rank] ?? 0);
      return typeof size === "number" ? size + more : more === 0 ? size : null;
    });
    return [{ ...x, shape }];
  },
  TopK: (x, { node }) => {
    const shape = x.shape.with(axisOf(node, x), null);
    return [
      { ...x, shape },
      { type: "int64", shape },
    ];
  },
};

/** Operators that graphs of models and of their gradients are made of. */
export const shapeRules: Readonly<Record<string, Rule>> = {
  ...named(
    "Identity Softmax LogSoftmax Sigmoid Relu Tanh Cos Sin Neg Abs Exp Log Sqrt Erf Sign",
    same,
  ),
  ...named("Reciprocal Floor Ceil Round Clip Trilu CumSum Inverse ScatterElements ScatterND", same),
  ...named("Gelu QuickGelu FastGelu BiasGelu RotaryEmbedding Softplus LeakyRelu Not Dropout", same),
  ...named("Add Sub Mul Div Pow Max Min Sum And Or", elementwise),
  ...named("Mod BitShift BitwiseAnd BitwiseOr BitwiseXor", elementwise),
  ...named("Equal Less LessOrEqual Greater GreaterOrEqual", comparison),
  ...named(
    "ReduceSum ReduceMean ReduceMax ReduceMin ReduceL2 ReduceSumSquare ReduceProd",
    reduction,
  ),
  ...layout,
  IsNaN: (x) => [{ ...x, type: "bool" }],
  LayerNormalization: normalisation,
  SimplifiedLayerNormalization: normalisation,
  SkipSimplifiedLayerNormalization: (x) => [x, null, null, x],
  Where: (condition, place) => {
    const [, a, b] = place.inputs;
    if (!a || !b) return null;
    const shape = [a, b].reduce<readonly Dimension[]>(
      (all, each) => broadcastShapes(all, each.shape),
      condition.shape,
    );
    return [{ type: a.type, shape }];
  },
  Cast: (x, { node }) => {
    const type = typeOf(intOf(node, "to"));
    return type ? [{ type, shape: x.shape }] : null;
  },
  Shape: (x, { node }) => [{ type: "int64", shape: [rangeOf(node, x.shape).length] }],
  ConstantOfShape: constantOfShape,
  // How many it makes its values say, not their shapes.
  Range: (x) => [{ type: x.type, shape: [null] }],
  MatMul: (x, { inputs }) => product(x, inputs[1], { rows: -2, columns: -1 }),
  FusedMatMul: transposable,
  Gemm: transposable,
  MatMulNBits: (x, { node }) => [
    { type: x.type, shape: [...x.shape.slice(0, -1), intOf(node, "N") ?? null] },
  ],
  DequantizeLinear: (x, { inputs }) => (inputs[1] ? [{ ...x, type: inputs[1].type }] : null),
};

/** The sizes that an operator Shape with a range gives. */
export function rangeOf(node: Node, shape: readonly Dimension[]): readonly Dimension[] {
  return shape.slice(intOf(node, "start") ?? 0, intOf(node, "end") ?? shape.length);
}

function sliced(size: Dimension, start?: number, end?: number): Dimension {
  if (start === undefined || end === undefined) return null;
  if (typeof size !== "number") return null;
  const clamp = (at: number): number => Math.min(size, Math.max(0, at < 0 ? at + size : at));
  return Math.max(0, clamp(end) - clamp(start));
}

function broadcastShapes(a: readonly Dimension[], b: readonly Dimension[]): Dimension[] {
  const rank = Math.max(a.length, b.length);
  const at = (shape: readonly Dimension[], i: number): Dimension => {
    const place = i - rank + shape.length;
    return place < 0 ? 1 : (shape[place] as Dimension);
  };
  return Array.from({ length: rank }, (_, i) => broadcast(at(a, i), at(b, i)));
}

/** a times b, whose last two axes have the rows and the columns at these places. */
function product(
  a: Known,
  b: Known | undefined,
  { rows, columns }: { rows: -1 | -2; columns: -1 | -2 },
): Known[] | null {
  if (!b || a.shape.length < 2 || b.shape.length < 2) return null;
  const leading = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const shape = [...leading, a.shape.at(rows) ?? null, b.shape.at(columns) ?? null];
  return [{ type: a.type, shape }];
}

export function intOf({ attributes }: Node, name: string): number | undefined {
  const attribute = attributes[name];
  return attribute?.kind === "int" ? attribute.value : undefined;
}

function axisOf(node: Node, { shape }: Known, otherwise = -1): number {
  const axis = intOf(node, "axis") ?? otherwise;
  return axis < 0 ? axis + shape.length : axis;
}

const typeNames = new Map(
  Object.entries(onnxTypes).map(([name, id]) => [id as number, name as OnnxType]),
);

export function typeOf(id: number | undefined): OnnxType | undefined {
  return id === undefined ? undefined : typeNames.get(id);
}
