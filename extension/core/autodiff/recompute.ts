/**
 * Gradient checkpointing (https://arxiv.org/abs/1604.06174): the backward part reads values between two
 * borders from a second computation, which begins at the border before them.
 */
import { unary } from "../onnx/calculus.ts";
import type { Graph, Node, Value } from "../onnx/graph.ts";
import type { Surroundings } from "./place.ts";

/** Operators whose second run would give other numbers. */
const random = new Set(
  "Bernoulli Dropout Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split(
    " ",
  ),
);

export class Recomputation {
  /** How many borders lie before a value. Weights and what is common to all blocks are before the first. */
  private readonly segments = new Map<Value, number>();
  private readonly nodeSegments = new Map<Node, number>();
  private readonly makers = new Map<Value, { node: Node; output: number }>();
  private readonly borders: ReadonlySet<Value>;
  private readonly again = new Map<Node, readonly Value[]>();
  private readonly held = new Map<Value, Value>();
  /** The value whose gradient must be there before a segment is computed again. */
  private readonly ends = new Map<number, Value>();

  constructor(
    private readonly graph: Graph,
    checkpoints: readonly Value[],
    private readonly around: Surroundings,
  ) {
    this.borders = new Set(checkpoints);
    for (const border of checkpoints) this.segments.set(border, 1);
    for (const node of graph.nodes) this.place(node);
  }

  /** Nodes so that a segment follows the one behind it, and each node those that read from it. */
  backwardOrder(): Node[] {
    const reversed = this.graph.nodes.toReversed();
    return reversed.sort((a, b) => this.segmentOf(b) - this.segmentOf(a));
  }

  segmentOf(node: Node): number {
    return this.nodeSegments.get(node) as number;
  }

  /** A forward value as nodes of a segment read it in the backward part. */
  read(value: Value, segment: number): Value {
    // The last segment is still there when its backward part begins.
    if (segment === 0 || !this.ends.has(segment) || this.segments.get(value) !== segment)
      return value;
    if (this.borders.has(value)) return this.hold(value, segment);
    const maker = this.makers.get(value);
    if (!maker || random.has(maker.node.op)) return value;
    const { node, output } = maker;
    let made = this.again.get(node);
    if (!made) {
      const inputs = node.inputs.map((name) => (name === "" ? name : this.read(name, segment)));
      made = this.around.g.again(node, inputs);
      this.again.set(node, made);
    }
    return made[output] as Value;
  }

  /**
   * A border's value that cannot be read before the gradient behind the segment is there, so that no
   * pass over the graph takes the second computation for the first: a choice between it and itself.
   */
  private hold(border: Value, segment: number): Value {
    const known = this.held.get(border);
    if (known) return known;
    const { g } = this.around;
    const gradient = this.around.gradientOf(this.ends.get(segment) as Value);
    if (gradient === null) return border;
    const flat = g.reshape(gradient, [-1]);
    const one = g.node("Slice", [flat, g.int64s([0]), g.int64s([1])])[0];
    const held = g.where(unary(g, "IsNaN", one), border, border);
    this.held.set(border, held);
    return held;
  }

  private place(node: Node): void {
    const before = node.inputs.map((name) => (name === "" ? 0 : (this.segments.get(name) ?? 0)));
    const segment = Math.max(0, ...before);
    this.nodeSegments.set(node, segment);
    node.outputs.forEach((name, output) => {
      if (name === "") return;
      this.makers.set(name, { node, output });
      const isBorder = this.borders.has(name);
      this.segments.set(name, isBorder ? segment + 1 : segment);
      if (isBorder) this.ends.set(segment, name);
    });
  }
}
