/**
 * Reverse-mode differentiation of a graph: to what computes `loss` are added the nodes that compute its
 * derivative by other values. The rules of operators are in rules/.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import { GraphBuilder } from "../onnx/builder.ts";
import { filled } from "../onnx/calculus.ts";
import type { Dimension } from "../onnx/dimensions.ts";
import type { Graph, Initializer, Node, OnnxType, Port, Value } from "../onnx/graph.ts";
import type { Known } from "../onnx/shapeRules.ts";
import { pruned } from "../onnx/prune.ts";
import { int64Constants, knownValues } from "../onnx/shapes.ts";
import { leadingValues, valueTypes } from "./flow.ts";
import { Place, type Scattered, type Surroundings } from "./place.ts";
import { Recomputation } from "./recompute.ts";
import { rules } from "./rules/index.ts";
import { Sum } from "./sums.ts";

export interface GradientOptions {
  /** One number, or several whose sum is meant. */
  readonly loss: Value;
  /** Inputs, constants or values inside whose gradients are wanted. */
  readonly wrt: readonly Value[];
  /**
   * Values at the borders of blocks (gradient checkpointing): what lies between two of them is not
   * kept for the backward part but computed again from the first. In the order of computation.
   */
  readonly checkpoints?: readonly Value[];
}

/**
 * The graph with one more output a value of `wrt`, `grad.<name>`, of the value's own shape; zeros where
 * the loss does not depend on it. Nothing is computed that leads to none of them.
 * @throws unsupported, by operator and node, where a gradient would have to pass an operator without a rule
 */
export function withGradients(graph: Graph, options: GradientOptions): Graph {
  const pass = new BackwardPass(graph, options);
  pass.run();
  return pass.finish();
}

class BackwardPass implements Surroundings {
  readonly g = new GraphBuilder();
  readonly scattered = new Map<Value, Scattered>();
  private readonly leading: ReadonlySet<Value>;
  private readonly types: ReadonlyMap<string, OnnxType>;
  private readonly known: ReadonlyMap<string, Known>;
  private readonly constants: (name: string) => readonly number[] | null;
  private readonly arrived = new Map<Value, Sum>();
  private readonly made = new Map<string, Value>();
  private readonly recomputation: Recomputation;
  private segment = 0;

  constructor(
    private readonly graph: Graph,
    private readonly options: GradientOptions,
  ) {
    this.g.adopt(graph);
    for (const node of graph.nodes) this.g.keep(node);
    this.types = valueTypes(graph);
    this.leading = leadingValues(graph, options.wrt, this.types);
    this.known = knownValues(graph);
    this.constants = int64Constants(graph);
    this.recomputation = new Recomputation(graph, options.checkpoints ?? [], this);
  }

  run(): void {
    const { loss } = this.options;
    if (this.leading.has(loss)) this.sumOf(loss).take(this.seed(loss));
    for (const node of this.recomputation.backwardOrder()) {
      const hasArrived = node.outputs.some((name) => name !== "" && this.arrived.has(name));
      if (!hasArrived || !this.isOnWay(node)) continue;
      this.segment = this.recomputation.segmentOf(node);
      this.g.scope(`grad/${node.name}`, () => this.differentiate(node));
    }
  }

  finish(): Graph {
    const { g, graph } = this;
    for (const output of graph.outputs) g.declareOutput(output);
    for (const name of this.options.wrt) {
      const { type, shape } = this.portOf(name);
      const own = g.scope(`grad/${name}`, () => this.gradientOf(name) ?? this.zeros(name));
      g.output(own, `grad.${name}`, type, shape);
    }
    // Forward values that only the shape of a gradient asked for, and rules' parts that nobody read.
    return pruned({ ...graph, ...g.build(graph.name) });
  }

  read(value: Value): Value {
    return this.recomputation.read(value, this.segment);
  }

  gradientOf(value: Value): Value | null {
    return this.arrived.get(value)?.total() ?? null;
  }

  leads(value: Value): boolean {
    return this.leading.has(value);
  }

  shapeOf(value: Value): readonly Dimension[] | null {
    return this.known.get(value)?.shape ?? null;
  }

  typeOf(value: Value): OnnxType {
    return this.types.get(value) ?? "float32";
  }

  numbersOf(value: Value): readonly number[] | null {
    return this.constants(value);
  }

  constantOf(value: Value): Initializer | undefined {
    return this.graph.initializers.find(({ name }) => name === value);
  }

  once(key: string, make: () => Value): Value {
    const known = this.made.get(key) ?? make();
    this.made.set(key, known);
    return known;
  }

  private differentiate(node: Node): void {
    const rule = rules[node.op];
    if (!rule) {
      throw unsupported(
        t('Graft has no gradient of the operator {0} yet (node "{1}")', node.op, node.name),
        t("Choose other target modules, or another method."),
      );
    }
    const place = new Place(node, this);
    const dy = place.dy() ?? this.zeros(node.outputs[0] as Value);
    rule(place, dy).forEach((part, i) => {
      if (part === null || !place.needs(i)) return;
      const gradient = part();
      if (gradient !== null) this.sumOf(node.inputs[i] as Value).take(gradient);
    });
  }

  private isOnWay(node: Node): boolean {
    return (
      node.outputs.some((name) => name !== "" && this.leading.has(name)) &&
      node.inputs.some((name) => name !== "" && this.leading.has(name))
    );
  }

  private sumOf(value: Value): Sum {
    const known = this.arrived.get(value) ?? new Sum((a, b) => this.g.add(a, b));
    this.arrived.set(value, known);
    return known;
  }

  /** Ones of the loss's shape. */
  private seed(loss: Value): Value {
    const shape = this.shapeOf(loss);
    if (shape?.length === 0) return this.g.scalar(1);
    return this.g.scope("grad", () => filled(this.g, 1, this.g.shapeOf(loss)));
  }

  zeros(like: Value): Value {
    return filled(this.g, 0, this.g.shapeOf(this.read(like)));
  }

  private portOf(name: Value): Pick<Port, "type" | "shape"> {
    const known = this.known.get(name);
    if (!known) throw new Error(`the shape of ${name} is not known`);
    return { type: known.type, shape: known.shape.map((size) => size ?? "") };
  }
}
