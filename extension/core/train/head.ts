/** A model's head taken apart from its stack: the nodes between the tokens' rows and their logits. */
import { GraphBuilder } from "../onnx/builder.ts";
import type { Graph, Node, Value } from "../onnx/graph.ts";

export interface SplitHead {
  /** The rows [1, rows, hidden] that the head reads: those that the input `logits_rows` picks of all. */
  readonly rows: Value;
  /** The graph up to there; its output is `rows`. */
  readonly stack: Graph;
  /** From `rows` to `logits`, in order. */
  readonly nodes: readonly Node[];
}

/**
 * Lets `logits_rows` [rows] count the tokens of all sequences one after the other, so that each has its
 * own. null where the model has no such input: encoders.
 */
export function splitHead(graph: Graph): SplitHead | null {
  const at = graph.nodes.findIndex(
    ({ op, inputs }) => op === "Gather" && inputs[1] === "logits_rows",
  );
  const gather = graph.nodes[at];
  if (!gather) return null;
  const rows = gather.outputs[0] as Value;
  const behind = new Set<string>([rows]);
  const nodes: Node[] = [];
  const before: Node[] = [];
  for (const node of graph.nodes.filter((each) => each !== gather)) {
    const isBehind = node.inputs.some((name) => behind.has(name));
    if (isBehind) for (const name of node.outputs) behind.add(name);
    (isBehind ? nodes : before).push(node);
  }
  const g = new GraphBuilder();
  g.adopt({ ...graph, nodes: before });
  for (const node of before) g.keep(node);
  const all = g.scope("head", () => g.reshape(gather.inputs[0] as Value, [1, -1, 0]));
  g.keep({ ...gather, inputs: [all, "logits_rows" as Value] });
  g.declareOutput({ name: rows, type: "float32", shape: [1, "rows", "hidden"] });
  return { rows, stack: g.build(graph.name), nodes };
}

/** A head that is put behind its stack again. */
export function joinHead(graph: Graph, { stack, nodes }: SplitHead): Graph {
  return { ...stack, nodes: [...stack.nodes, ...nodes], outputs: graph.outputs };
}
