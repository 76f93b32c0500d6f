import { broadcast, type Dimension, quotient, sum } from "./dimensions.ts";
import { type Graph, type Node, type OnnxType, onnxTypes, type Port, type Value } from "./graph.ts";

/** What is known of a value before a run. */
interface Known {
  readonly type: OnnxType;
  readonly shape: readonly Dimension[];
}

interface Place {
  readonly node: Node;
  /** Per input; undefined where it is left out or nothing is known. */
  readonly inputs: readonly (Known | undefined)[];
  /** The numbers of an input that is an int64 constant. */
  constant(input: number): readonly number[] | null;
}

/** What a node makes, one entry an output; null where that is not known. */
type Rule = (x: Known, place: Place) => readonly (Known | null)[] | null;

const same: Rule = (x, { node }) => node.outputs.map(() => x);

const elementwise: Rule = (x, { inputs }) => {
  let shape: readonly Dimension[] = x.shape;
  for (const other of inputs.slice(1)) {
    if (!other) return null;
    shape = broadcastShapes(shape, other.shape);
  }
  return [{ type: x.type, shape }];
};

/** A product whose second factor may lie transposed; one whose first does is left alone. */
const transposable: Rule = (x, { node, inputs }) =>
  (intOf(node, "transA") ?? 0) === 0
    ? product(x, inputs[1], intOf(node, "transB") === 1 ? -2 : -1)
    : null;

/** Operators that the decoders of most families are made of. */
const rules: Readonly<Record<string, Rule>> = {
  Identity: same,
  Softmax: same,
  Sigmoid: same,
  Relu: same,
  Tanh: same,
  Cos: same,
  Sin: same,
  Gelu: same,
  QuickGelu: same,
  FastGelu: same,
  RotaryEmbedding: same,
  LayerNormalization: (x, { node }) => (node.outputs.length === 1 ? [x] : null),
  SimplifiedLayerNormalization: (x, { node }) => (node.outputs.length === 1 ? [x] : null),
  SkipSimplifiedLayerNormalization: (x) => [x, null, null, x],
  Add: elementwise,
  Sub: elementwise,
  Mul: elementwise,
  Div: elementwise,
  Cast: (x, { node }) => {
    const type = typeOf(intOf(node, "to"));
    return type ? [{ type, shape: x.shape }] : null;
  },
  MatMul: (x, { inputs }) => product(x, inputs[1], -1),
  FusedMatMul: transposable,
  Gemm: transposable,
  MatMulNBits: (x, { node }) => [
    { type: x.type, shape: [...x.shape.slice(0, -1), intOf(node, "N") ?? null] },
  ],
  Gather: (x, { node, inputs }) => {
    const ids = inputs[1];
    const axis = axisOf(node, x, 0);
    return ids ? [{ ...x, shape: x.shape.toSpliced(axis, 1, ...ids.shape) }] : null;
  },
  Concat: (x, { node, inputs }) => {
    const axis = axisOf(node, x);
    const parts = inputs.map((each) => each?.shape[axis] ?? null);
    return [{ ...x, shape: x.shape.with(axis, sum(parts)) }];
  },
  Split: (x, place) => {
    const { node } = place;
    const axis = axisOf(node, x, 0);
    const sizes = place.constant(1);
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
    const [axis = -1] = axes ?? [];
    return axes?.length === 1 && axis >= 0
      ? [{ ...x, shape: x.shape.toSpliced(axis, 0, 1) }]
      : null;
  },
  Squeeze: (x, place) => {
    const axes = place.constant(1);
    const [axis = -1] = axes ?? [];
    return axes?.length === 1 && axis >= 0 ? [{ ...x, shape: x.shape.toSpliced(axis, 1) }] : null;
  },
  Reshape: (x, place) => {
    const sizes = place.constant(1);
    if (!sizes) return null;
    const shape = sizes.map((size, i): Dimension => (size === 0 ? (x.shape[i] ?? null) : size));
    const rest = shape.indexOf(-1);
    if (rest === -1) return [{ ...x, shape }];
    return [{ ...x, shape: shape.with(rest, quotient(x.shape, shape.toSpliced(rest, 1))) }];
  },
};

/**
 * Types and shapes of the values that nodes make, as far as they follow from the inputs' shapes.
 * ONNX Runtime infers them as well, but loses a size at every -1 of a reshape and wherever "1 or
 * batch" meets "batch"; its plan of memory then finds no value to reuse, and the time to make a session
 * grows with the square of the nodes.
 */
export function valueShapes({ inputs, initializers, nodes, outputs }: Graph): Port[] {
  const known = new Map<string, Known>(
    [...inputs.filter(({ isUnranked }) => !isUnranked), ...initializers].map(
      ({ name, type, shape }) => [name, { type, shape }],
    ),
  );
  const constants = new Map(initializers.map((each) => [each.name as string, each]));
  const constant = (name: string | undefined): number[] | null => {
    const tensor = constants.get(name ?? "");
    if (tensor?.type !== "int64" || tensor.data.kind !== "inline") return null;
    const { bytes } = tensor.data;
    return Array.from(new BigInt64Array(Uint8Array.from(bytes).buffer), Number);
  };
  const declared = new Set<string>(outputs.map(({ name }) => name));
  const ports: Port[] = [];
  for (const node of nodes) {
    const own = node.inputs.map((name) => known.get(name));
    const [x] = own;
    const place = { node, inputs: own, constant: (i: number) => constant(node.inputs[i]) };
    const made = x && rules[node.op]?.(x, place);
    made?.forEach((value, i) => {
      const name = node.outputs[i];
      if (!value || name === undefined || name === "") return;
      known.set(name, value);
      if (!declared.has(name)) ports.push(portOf(name, value));
    });
  }
  return ports;
}

function portOf(name: Value, { type, shape }: Known): Port {
  // "" is a size without a name.
  return { name, type, shape: shape.map((size) => size ?? "") };
}

function broadcastShapes(a: readonly Dimension[], b: readonly Dimension[]): Dimension[] {
  const rank = Math.max(a.length, b.length);
  const at = (shape: readonly Dimension[], i: number): Dimension => {
    const place = i - rank + shape.length;
    return place < 0 ? 1 : (shape[place] as Dimension);
  };
  return Array.from({ length: rank }, (_, i) => broadcast(at(a, i), at(b, i)));
}

/** a [..., m, k] times b, whose last two axes have the columns at `columns`. */
function product(a: Known, b: Known | undefined, columns: -1 | -2): Known[] | null {
  if (!b || a.shape.length < 2 || b.shape.length < 2) return null;
  const leading = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const shape = [...leading, a.shape.at(-2) ?? null, b.shape.at(columns) ?? null];
  return [{ type: a.type, shape }];
}

function intOf({ attributes }: Node, name: string): number | undefined {
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

function typeOf(id: number | undefined): OnnxType | undefined {
  return id === undefined ? undefined : typeNames.get(id);
}
