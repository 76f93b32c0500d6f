import { elementCount, type Shape } from "../base/shape.ts";
import { float, int, ints } from "./attributes.ts";
import type {
  Attribute,
  Graph,
  Initializer,
  InitializerData,
  Node,
  OnnxType,
  Port,
  Value,
} from "./graph.ts";

type Dimension = number | string;

/**
 * Collects nodes in the order of computation; one method an operator. Shapes in comments name the
 * operator's own contract; https://onnx.ai/onnx/operators and ONNX Runtime's ContribOperators.md
 * are the sources.
 */
export class GraphBuilder {
  private readonly inputs: Port[] = [];
  private readonly outputs: Port[] = [];
  private readonly initializers = new Map<Value, Initializer>();
  private readonly nodes: Node[] = [];
  private readonly names = new Map<string, number>();
  private scopes: string[] = [];

  /** Names the nodes made inside `build` after a module path. */
  scope<T>(path: string, build: () => T): T {
    this.scopes.push(path);
    try {
      return build();
    } finally {
      this.scopes.pop();
    }
  }

  input(name: string, type: OnnxType, shape: readonly Dimension[]): Value {
    this.inputs.push({ name: name as Value, type, shape });
    return name as Value;
  }

  output(value: Value, name: string, type: OnnxType, shape: readonly Dimension[]): void {
    if (value !== name) this.push("Identity", [value], { outputs: [name as Value] });
    this.outputs.push({ name: name as Value, type, shape });
  }

  /**
   * Puts the nodes of a whole graph here. Its inputs read the values that `bound` gives for their
   * names; the others become inputs of this graph. Its outputs are values here, by their names.
   */
  include(graph: Graph, bound: ReadonlyMap<string, Value>): void {
    const known = (value: Value | ""): Value | "" => bound.get(value) ?? value;
    this.inputs.push(...graph.inputs.filter(({ name }) => !bound.has(name)));
    for (const initializer of graph.initializers) {
      this.initializers.set(initializer.name, initializer);
    }
    for (const node of graph.nodes) {
      this.names.set(node.name, 1);
      this.nodes.push({ ...node, inputs: node.inputs.map(known) });
    }
  }

  /** A constant under its own name; a name asked for twice is one constant. */
  initializer(name: string, type: OnnxType, shape: Shape, data: InitializerData): Value {
    const value = name as Value;
    if (!this.initializers.has(value))
      this.initializers.set(value, { name: value, type, shape, data });
    return value;
  }

  /** @param name of a constant that is too long to be named after its values */
  int64s(values: readonly number[], name = `int64.${values.join(".")}`): Value {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.initializer(`const.${name}`, "int64", [values.length], { kind: "inline", bytes });
  }

  float32s(name: string, values: Float32Array, shape: Shape): Value {
    if (elementCount(shape) !== values.length)
      throw new Error(`constant ${name}: shape and values differ`);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return this.initializer(name, "float32", shape, { kind: "inline", bytes });
  }

  /** Rows of `table` [rows, ...] picked by `ids` along `axis`. */
  gather(table: Value, ids: Value, axis = 0): Value {
    return this.push("Gather", [table, ids], { attributes: { axis: int(axis) } })[0];
  }

  cast(x: Value, to: number): Value {
    return this.push("Cast", [x], { attributes: { to: int(to) } })[0];
  }

  add(a: Value, b: Value): Value {
    return this.push("Add", [a, b])[0];
  }

  mul(a: Value, b: Value): Value {
    return this.push("Mul", [a, b])[0];
  }

  /** a [..., m, k] · b [..., k, n] with broadcast leading dimensions. */
  matMul(a: Value, b: Value): Value {
    return this.push("MatMul", [a, b])[0];
  }

  /** alpha · a [..., m, k] · bᵀ where b is [..., n, k]: a Linear with its weight as stored. */
  matMulTransposed(a: Value, b: Value, alpha = 1): Value {
    return this.push("FusedMatMul", [a, b], {
      domain: microsoft,
      attributes: { transB: int(1), alpha: float(alpha) },
    })[0];
  }

  /**
   * x [..., in] · wᵀ where w [out, in] is `scale · (code − zero point)` in blocks along `in`
   * (PackedWeight in checkpoint/packedWeight.ts gives the shapes).
   */
  matMulNBits(
    x: Value,
    w: {
      codes: Value;
      scales: Value;
      zeroPoints?: Value;
      in: number;
      out: number;
      bits: number;
      blockSize: number;
      accuracyLevel: number;
    },
  ): Value {
    const inputs = [x, w.codes, w.scales, ...(w.zeroPoints === undefined ? [] : [w.zeroPoints])];
    return this.push("MatMulNBits", inputs, {
      domain: microsoft,
      attributes: {
        K: int(w.in),
        N: int(w.out),
        bits: int(w.bits),
        block_size: int(w.blockSize),
        accuracy_level: int(w.accuracyLevel),
      },
    })[0];
  }

  max(a: Value, b: Value): Value {
    return this.push("Max", [a, b])[0];
  }

  sub(a: Value, b: Value): Value {
    return this.push("Sub", [a, b])[0];
  }

  div(a: Value, b: Value): Value {
    return this.push("Div", [a, b])[0];
  }

  neg(x: Value): Value {
    return this.push("Neg", [x])[0];
  }

  /** Mean over `axes`, which stay with size 1. */
  mean(x: Value, axes: readonly number[]): Value {
    return this.push("ReduceMean", [x, this.int64s(axes)])[0];
  }

  concat(values: readonly Value[], axis: number): Value {
    if (values.length === 1) return values[0] as Value;
    return this.push("Concat", values, { attributes: { axis: int(axis) } })[0];
  }

  /** Parts of fixed sizes along `axis`. */
  split(x: Value, sizes: readonly number[], axis: number): Value[] {
    if (sizes.length === 1) return [x];
    return this.splitBy(x, this.int64s(sizes), { parts: sizes.length, axis });
  }

  /** So many parts of one size along `axis`, whatever it is. */
  splitEvenly(x: Value, parts: number, axis: number): Value[] {
    const attributes = { axis: int(axis), num_outputs: int(parts) };
    return this.push("Split", [x], { count: parts, attributes });
  }

  /** Parts whose sizes a value [parts] gives at run time. */
  splitBy(x: Value, sizes: Value, { parts, axis }: { parts: number; axis: number }): Value[] {
    return this.push("Split", [x, sizes], { count: parts, attributes: { axis: int(axis) } });
  }

  /** 0 keeps a dimension, -1 takes what is left. */
  reshape(x: Value, shape: readonly number[]): Value {
    return this.push("Reshape", [x, this.int64s(shape)])[0];
  }

  /** Size of x along `axis`, [1] int64. */
  sizeOf(x: Value, axis: number): Value {
    // Behind the last axis counted from the end there is no 0.
    const attributes = { start: int(axis), ...(axis !== -1 && { end: int(axis + 1) }) };
    return this.push("Shape", [x], { attributes })[0];
  }

  /** start, start + 1, … below `end`, int64; both are scalars. */
  range(start: Value, end: Value): Value {
    const one = this.int64Scalar(1);
    return this.push("Range", [start, end, one])[0];
  }

  int64Scalar(value: number): Value {
    const bytes = new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
    const name = `const.int64.scalar.${value}`;
    return this.initializer(name, "int64", [], { kind: "inline", bytes });
  }

  and(a: Value, b: Value): Value {
    return this.push("And", [a, b])[0];
  }

  greater(a: Value, b: Value): Value {
    return this.push("Greater", [a, b])[0];
  }

  greaterOrEqual(a: Value, b: Value): Value {
    return this.push("GreaterOrEqual", [a, b])[0];
  }

  where(condition: Value, a: Value, b: Value): Value {
    return this.push("Where", [condition, a, b])[0];
  }

  cos(x: Value): Value {
    return this.push("Cos", [x])[0];
  }

  sin(x: Value): Value {
    return this.push("Sin", [x])[0];
  }

  /** x repeated so many times along each axis. */
  tile(x: Value, times: readonly number[]): Value {
    return this.push("Tile", [x, this.int64s(times)])[0];
  }

  /** x in the shape of another value. */
  reshapeLike(x: Value, like: Value): Value {
    return this.push("Reshape", [x, this.push("Shape", [like])[0]])[0];
  }

  squeeze(x: Value, axis: number): Value {
    return this.push("Squeeze", [x, this.int64s([axis])])[0];
  }

  /** x [1, n, dim] once for each of the rows that `like` [batch, ...] has. */
  repeatRows(x: Value, like: Value, [n, dim]: readonly [number, number]): Value {
    return this.push("Expand", [
      x,
      this.concat([this.sizeOf(like, 0), this.int64s([n, dim])], 0),
    ])[0];
  }

  /** The sizes of x [rank]. */
  shapeOf(x: Value): Value {
    return this.push("Shape", [x])[0];
  }

  /** The shape is a value [rank] that is known at run time. */
  reshapeTo(x: Value, shape: Value): Value {
    return this.push("Reshape", [x, shape])[0];
  }

  unsqueeze(x: Value, axis: number): Value {
    return this.push("Unsqueeze", [x, this.int64s([axis])])[0];
  }

  transpose(x: Value, perm: readonly number[]): Value {
    return this.push("Transpose", [x], { attributes: { perm: ints(perm) } })[0];
  }

  softmax(x: Value, axis = -1): Value {
    return this.push("Softmax", [x], { attributes: { axis: int(axis) } })[0];
  }

  sigmoid(x: Value): Value {
    return this.push("Sigmoid", [x])[0];
  }

  /** x · Φ(x), the exact form. */
  gelu(x: Value): Value {
    return this.push("Gelu", [x], { domain: microsoft })[0];
  }

  /** x · sigmoid(x). */
  silu(x: Value): Value {
    return this.quickGelu(x, 1);
  }

  /** x · sigmoid(alpha · x). */
  quickGelu(x: Value, alpha: number): Value {
    return this.push("QuickGelu", [x], {
      domain: microsoft,
      attributes: { alpha: float(alpha) },
    })[0];
  }

  relu(x: Value): Value {
    return this.push("Relu", [x])[0];
  }

  tanh(x: Value): Value {
    return this.push("Tanh", [x])[0];
  }

  /** A number as a constant that broadcasts. */
  scalar(value: number): Value {
    return this.float32s(`const.float32.${value}`, Float32Array.of(value), []);
  }

  /** x · factor; nothing for 1. */
  scale(x: Value, factor: number): Value {
    return factor === 1 ? x : this.mul(x, this.scalar(factor));
  }

  /** x · Φ(x) by its tanh approximation (gelu_new). */
  geluTanh(x: Value, steps?: Node["steps"]): Value {
    return this.push("FastGelu", [x], { domain: microsoft, steps })[0];
  }

  /** (x − mean) / √(variance + ε) · weight + bias over the last axis. */
  layerNorm(x: Value, at: { weight: Value; bias?: Value | undefined; epsilon: number }): Value {
    const attributes = { axis: int(-1), epsilon: float(at.epsilon), stash_type: int(1) };
    const inputs = at.bias === undefined ? [x, at.weight] : [x, at.weight, at.bias];
    return this.push("LayerNormalization", inputs, { attributes })[0];
  }

  /** x / rms(x) · weight over the last axis. */
  rmsNorm(x: Value, weight: Value, epsilon: number): Value {
    const attributes = { axis: int(-1), epsilon: float(epsilon), stash_type: int(1) };
    return this.push("SimplifiedLayerNormalization", [x, weight], { attributes })[0];
  }

  /** [rmsNorm(x + skip), x + skip] in one pass. */
  addRmsNorm(
    x: Value,
    skip: Value,
    { weight, epsilon }: { weight: Value; epsilon: number },
  ): [Value, Value] {
    const [normed, , , sum] = this.push("SkipSimplifiedLayerNormalization", [x, skip, weight], {
      domain: microsoft,
      count: 4,
      attributes: { epsilon: float(epsilon) },
    });
    return [normed as Value, sum as Value];
  }

  /**
   * Rotates x [batch, heads, seq, dim] by rows `positions` [batch, seq] of cos and sin [rows, dim / 2].
   * @param table.part of smaller rows [rows, part.size / 2]: the rest of each head stays as it is
   */
  rotary(x: Value, positions: Value, table: RotaryRows): Value {
    const { cos, sin, part } = table;
    const attributes: Record<string, Attribute> = part
      ? { rotary_embedding_dim: int(part.size), num_heads: int(part.heads) }
      : {};
    const inputs = [x, positions, cos, sin];
    return this.push("RotaryEmbedding", inputs, { domain: microsoft, attributes })[0];
  }

  /** Begins with what another graph has besides its nodes; its names are taken. */
  adopt({ inputs, initializers, nodes }: Graph): void {
    this.inputs.push(...inputs);
    for (const tensor of initializers) this.initializers.set(tensor.name, tensor);
    const taken = [...inputs, ...initializers, ...nodes].map(({ name }) => name as string);
    const made = nodes.flatMap((node) => [...node.outputs]);
    for (const name of [...taken, ...made]) this.names.set(name, this.names.get(name) ?? 1);
  }

  /** A node as it is. */
  keep(node: Node): void {
    this.nodes.push(node);
  }

  /** A copy of a node on other inputs. */
  again(node: Node, inputs: readonly (Value | "")[]): Value[] {
    const { op, domain, attributes, outputs } = node;
    return this.push(op, inputs, { domain, attributes, count: outputs.length });
  }

  /** The same value under a name that is taken by nothing else. */
  named(value: Value, name: Value): void {
    this.push("Identity", [value], { outputs: [name] });
  }

  /** The same value, through which no gradient goes back (torch's `detach`). */
  detach(x: Value): Value {
    return this.push("Identity", [x], { metadata: detached })[0];
  }

  /** An output that exists under its name. */
  declareOutput(port: Port): void {
    this.outputs.push(port);
  }

  build(name: string): Graph {
    const { inputs, outputs, nodes } = this;
    return Object.freeze({
      name,
      inputs,
      outputs,
      nodes,
      initializers: [...this.initializers.values()],
    });
  }

  /** Any operator, for files that own a group of them. */
  node(op: string, inputs: readonly (Value | "")[], options?: PushOptions): [Value, ...Value[]] {
    return this.push(op, inputs, options);
  }

  private push(
    op: string,
    inputs: readonly (Value | "")[],
    { domain = "", count = 1, attributes = {}, outputs, steps, metadata }: PushOptions = {},
  ): [Value, ...Value[]] {
    const name = this.unique([...this.scopes.slice(-1), op].join("/"));
    const made =
      outputs ??
      Array.from({ length: count }, (_, i) => (count === 1 ? name : `${name}:${i}`) as Value);
    const node = { op, domain, name, inputs, outputs: made, attributes };
    this.nodes.push({ ...node, ...(steps && { steps }), ...(metadata && { metadata }) });
    return made as [Value, ...Value[]];
  }

  private unique(name: string): string {
    let times = this.names.get(name) ?? 0;
    let made = name;
    // An included graph may have taken the next one.
    while (this.names.has(made)) made = `${name}_${times++}`;
    this.names.set(name, Math.max(1, times));
    if (made !== name) this.names.set(made, 1);
    return made;
  }
}

interface RotaryRows {
  readonly cos: Value;
  readonly sin: Value;
  /** How many numbers of each head turn, and how many heads there are; all turn without it. */
  readonly part?: { readonly size: number; readonly heads: number } | undefined;
}

interface PushOptions {
  steps?: Node["steps"];
  domain?: string;
  count?: number;
  attributes?: Record<string, Attribute>;
  outputs?: Value[];
  metadata?: Node["metadata"];
}

const detached: ReadonlyMap<string, string> = new Map([["gradient", "none"]]);

/** Is this a node that `detach` made? */
export function isDetached({ metadata }: Node): boolean {
  return metadata?.get("gradient") === "none";
}

const microsoft = "com.microsoft";
