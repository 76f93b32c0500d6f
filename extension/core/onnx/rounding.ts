import { int } from "./attributes.ts";
import {
  type Attribute,
  type Graph,
  type Initializer,
  type Node,
  type OnnxType,
  onnxTypes,
  type Value,
} from "./graph.ts";

export type LowPrecision = Extract<OnnxType, "bfloat16" | "float16">;

/** A graph under rewriting: nodes are pushed as they are or with results that are rounded to a 16-bit type. */
export class Rounding {
  readonly nodes: Node[] = [];
  readonly initializers: Initializer[];
  private readonly constants: Set<string>;
  private readonly users = new Map<string, Node[]>();
  private readonly makers = new Map<string, Node>();
  private readonly rounded = new Map<Value, Value>();
  private count = 0;

  /** @param ofBase names of the inputs that the base has without adapters */
  constructor(
    graph: Graph,
    private readonly dtype: LowPrecision,
    private readonly ofBase: ReadonlySet<string>,
  ) {
    this.initializers = [...graph.initializers];
    this.constants = new Set(graph.initializers.map(({ name }) => name));
    for (const node of graph.nodes) {
      for (const input of node.inputs) {
        this.users.set(input, [...(this.users.get(input) ?? []), node]);
      }
      for (const output of node.outputs) this.makers.set(output, node);
      const [input = "", output = ""] = [node.inputs[0], node.outputs[0]];
      if (node.op === "Cast" && this.constants.has(input)) this.constants.add(output);
    }
  }

  /** The node as it is, its first output rounded. */
  roundOutput(node: Node): void {
    const [output] = node.outputs as [Value];
    const exact = this.fresh(output);
    this.nodes.push({ ...node, outputs: [exact, ...node.outputs.slice(1)] });
    this.push("Cast", [this.cast(exact)], { to: int(onnxTypes.float32) }, output);
  }

  round(value: Value): Value {
    return this.push("Cast", [this.cast(value)], { to: int(onnxTypes.float32) });
  }

  /** A weight or table, rounded once for all who read it. */
  roundOnce(value: Value): Value {
    const known = this.rounded.get(value) ?? this.round(value);
    this.rounded.set(value, known);
    return known;
  }

  private cast(value: Value): Value {
    return this.push("Cast", [value], { to: int(onnxTypes[this.dtype]) });
  }

  push(
    op: string,
    inputs: readonly Value[],
    attributes: Record<string, Attribute> = {},
    output?: Value,
  ): Value {
    const name = output ?? this.fresh(`low/${op}` as Value);
    const node = { op, domain: "", name: `${name}/low`, inputs, outputs: [name], attributes };
    this.nodes.push(node);
    return name;
  }

  pushRounded(op: string, inputs: readonly Value[]): Value {
    return this.round(this.push(op, inputs));
  }

  int64s(values: readonly number[]): Value {
    const name = this.fresh("low/const" as Value);
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    this.initializers.push({
      name,
      type: "int64",
      shape: [values.length],
      data: { kind: "inline", bytes },
    });
    return name;
  }

  float32(value: number): Value {
    const name = this.fresh("low/const" as Value);
    const bytes = new Uint8Array(Float32Array.of(value).buffer);
    this.initializers.push({ name, type: "float32", shape: [1], data: { kind: "inline", bytes } });
    return name;
  }

  private fresh(like: Value): Value {
    return `${like}#${this.count++}` as Value;
  }

  isFloat32(name: string): boolean {
    return this.initializers.some((each) => each.name === name && each.type === "float32");
  }

  isConstant(name: string): boolean {
    return this.constants.has(name);
  }

  /** The operator that makes a value; undefined for inputs and constants. */
  operatorOf(name: string): string | undefined {
    return this.makers.get(name)?.op;
  }

  isInputOfBase(name: string): boolean {
    return this.ofBase.has(name);
  }

  usersOf(node: Node): readonly Node[] {
    return this.users.get(node.outputs[0] as string) ?? [];
  }

  /** The node with its weights rounded. */
  withRoundedWeights(node: Node): Node {
    const inputs = node.inputs.map((name) =>
      name !== "" && this.isConstant(name) ? this.roundOnce(name) : name,
    );
    return { ...node, inputs };
  }
}
