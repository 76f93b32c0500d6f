/**
 * A head over a large vocabulary, and its loss, in parts of the rows: only one part's logits are in
 * memory at a time. The derivative by the rows that the head reads is made with them, so that
 * nothing of their size is kept for later.
 */
import { withGradients } from "../autodiff/withGradients.ts";
import { GraphBuilder } from "../onnx/builder.ts";
import type { Attribute, Graph, Value } from "../onnx/graph.ts";
import { knownValues } from "../onnx/shapes.ts";
import type { SplitHead } from "./head.ts";
import { lossOf } from "./losses.ts";

/**
 * Inputs: those of the stack, `labels` and `weights` [parts, rows of a part]; `logits_rows` has as many
 * entries as these together.
 * @returns null where the head itself is trained
 */
export function chunkedHead(
  head: SplitHead,
  { trained, width }: { trained: ReadonlySet<string>; width: number },
): { graph: Graph; seed: Value } | null {
  const { rows, stack, nodes } = head;
  const readNames = new Set(nodes.flatMap(({ inputs }) => inputs));
  if (
    [...readNames].some((name) => trained.has(name)) ||
    leadsTo(stack, trained, readNames, rows)
  ) {
    return null;
  }
  const g = new GraphBuilder();
  g.adopt(stack);
  for (const node of stack.nodes) g.keep(node);
  const body = partGraph(head, width);
  for (const { name, type, shape, data } of body.initializers)
    g.initializer(name, type, shape, data);
  const seed = g.scope("loss", () => {
    const labels = g.input("labels", "int64", ["parts", "part"]);
    const weights = g.input("weights", "float32", ["parts", "part"]);
    const sizes = g.concat([g.shapeOf(labels), g.int64s([-1])], 0);
    g.named(g.reshapeTo(rows, sizes), partRows);
    g.named(labels, partLabels);
    g.named(weights, partWeights);
    const always = g.initializer("const.true", "bool", [], {
      kind: "inline",
      bytes: Uint8Array.of(1),
    });
    const count = g.squeeze(g.sizeOf(labels, 0), 0);
    const attributes: Record<string, Attribute> = {
      body: { kind: "graph", value: { ...body, initializers: [] } },
    };
    const [loss, gradients] = g.node("Loop", [count, always, g.scalar(0)], {
      count: 2,
      attributes,
    }) as [Value, Value];
    g.output(loss, "loss", "float32", []);
    return g.mul(rows, g.detach(g.reshapeLike(gradients, rows)));
  });
  return { graph: g.build(stack.name), seed };
}

/** What the loop's parts are read from, by names that are nowhere else. */
const [partRows, partLabels, partWeights] = [
  "head.rows",
  "head.labels",
  "head.weights",
] as Value[] as [Value, Value, Value];

/** The rows of one part. */
const ownRows = "head.part.rows" as Value;

/** Does anything but the rows lead from a trained value into the head? */
function leadsTo(
  { nodes }: Graph,
  trained: ReadonlySet<string>,
  readNames: ReadonlySet<string>,
  rows: Value,
): boolean {
  const leading = new Set<string>(trained);
  for (const node of nodes) {
    if (node.inputs.some((name) => leading.has(name))) {
      for (const name of node.outputs) leading.add(name);
    }
  }
  return [...readNames].some((name) => name !== rows && leading.has(name));
}

/** The body of the loop: (turn, go on, sum) → (go on, sum with this part, derivative by its rows). */
function partGraph({ rows, stack, nodes }: SplitHead, width: number): Graph {
  // A body may not name a value as the graph around it does.
  const own = nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map((name) => (name === rows ? ownRows : name)),
  }));
  const part = lossOfPart({ rows, stack, nodes: own }, width);
  const g = new GraphBuilder();
  g.adopt({ ...part, inputs: [] });
  const turn = g.input("head.turn", "int64", []);
  const goOn = g.input("head.continue", "bool", []);
  const sum = g.input("head.sum", "float32", []);
  g.named(
    g.scope("head/part", () => g.unsqueeze(g.gather(partRows, turn), 0)),
    ownRows,
  );
  g.named(
    g.scope("head/part", () => g.gather(partLabels, turn)),
    "head.part.labels" as Value,
  );
  g.named(
    g.scope("head/part", () => g.gather(partWeights, turn)),
    "head.part.weights" as Value,
  );
  for (const node of part.nodes) g.keep(node);
  g.output(goOn, "head.goes.on", "bool", []);
  const total = g.scope("head/part", () => g.add(sum, "head.part.loss" as Value));
  g.output(total, "head.next.sum", "float32", []);
  g.output(`grad.${ownRows}` as Value, "head.gradient", "float32", [1, "part", "hidden"]);
  return g.build("head");
}

/** Loss of some rows and its derivative by them. */
function lossOfPart({ rows, stack, nodes }: SplitHead, width: number): Graph {
  const known = knownValues(stack);
  const constants = new Map(stack.initializers.map((each) => [each.name as string, each]));
  const g = new GraphBuilder();
  const shape = known.get(rows)?.shape.at(-1) ?? "hidden";
  g.input(ownRows, "float32", [1, "part", shape]);
  const made = new Set(nodes.flatMap(({ outputs }) => outputs));
  for (const name of new Set(nodes.flatMap(({ inputs }) => inputs))) {
    if (name === "" || name === ownRows || made.has(name)) continue;
    const constant = constants.get(name);
    const value = known.get(name);
    if (constant) g.initializer(name, constant.type, constant.shape, constant.data);
    else g.input(name, value?.type ?? "float32", value?.shape.map((size) => size ?? "") ?? []);
  }
  for (const node of nodes) g.keep(node);
  const seed = g.scope("head/loss", () => {
    const logits = g.reshape("logits" as Value, [-1, width]);
    const labels = g.input("head.part.labels", "int64", ["part"]);
    const weights = g.input("head.part.weights", "float32", ["part"]);
    const { value, gradient } = lossOf(g, "choice", { logits, labels, weights });
    g.output(value, "head.part.loss", "float32", []);
    return g.mul(logits, g.detach(gradient));
  });
  return withGradients(g.build("head"), { loss: seed, wrt: [ownRows] });
}

/** The largest vocabulary whose logits are made at once. */
export const usualWidth = 8192;

/** How rows are laid out in parts: [parts, rows of a part]. Padding is spread over all. */
export function partsOf(
  rows: number,
  width: number,
  largestWidth = usualWidth,
): readonly [number, number] {
  // Eight million logits, 32 MB, and never so few rows that a product of matrices is slow.
  const most = Math.max(32, Math.floor((1024 * largestWidth) / width));
  const parts = Math.max(1, Math.ceil(rows / most));
  return [parts, Math.ceil(rows / parts)];
}
