/** What a model's graph becomes where sequences are read whole: no past, and a head on chosen tokens. */
import type { Graph, Node, Value } from "../onnx/graph.ts";
import { readsOf } from "../onnx/order.ts";
import { pruned } from "../onnx/prune.ts";

/** Inputs that are keys and values from before the sequence. */
const past = /^(past|prefix)_(key|value)\.\d+$/;

/** What is known of a value where the past has no rows. */
type Emptiness = "rows" | "sum";

/**
 * The graph without what comes from a past of length 0: its products, what joins it to the sequence and
 * what takes it apart again. Outputs other than `logits` are gone, and all that led to them alone.
 */
export function withoutPast(graph: Graph): Graph {
  const empty = new Map<string, Emptiness>();
  for (const { name } of graph.inputs) if (past.test(name)) empty.set(name, "rows");
  if (empty.size === 0) return onlyLogits(graph);
  const same = new Map<string, Value>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => same.get(name) ?? name);
    const known = { ...node, inputs };
    if (!simplify(known, empty, same)) nodes.push(known);
  }
  return onlyLogits({ ...graph, nodes });
}

/** Is a node one that is not needed? Notes what its outputs are. */
function simplify(node: Node, empty: Map<string, Emptiness>, same: Map<string, Value>): boolean {
  const [first, second] = node.inputs.map((name) => empty.get(name));
  const [output, rest] = node.outputs as [Value, Value?];
  if (node.op === "Split" && node.inputs[1] === "kv_sizes" && rest !== undefined) {
    empty.set(output, "rows");
    same.set(rest, node.inputs[0] as Value);
    return true;
  }
  if (node.inputs.every((name) => !empty.has(name))) return false;
  const full = node.inputs.filter((name): name is Value => !empty.has(name));
  if (node.op === "Concat" && full.length > 0) {
    if (full.length > 1) return false;
    same.set(output, full[0] as Value);
    return true;
  }
  if (node.op === "Add" && (first === "sum" || second === "sum")) {
    const other = full[0];
    if (other === undefined) empty.set(output, "sum");
    else same.set(output, other);
    return true;
  }
  // A product over no rows is 0, one with no rows is empty.
  const isProduct = node.op === "MatMul" || node.op === "FusedMatMul";
  const isSum = isProduct && first === "rows" && second === "rows";
  for (const name of node.outputs) if (name !== "") empty.set(name, isSum ? "sum" : "rows");
  return true;
}

/** The graph as far as it leads to the logits. */
function onlyLogits(graph: Graph): Graph {
  return whatIsRead({ ...graph, outputs: graph.outputs.filter(({ name }) => name === "logits") });
}

/** The graph without what leads to no output; inputs that nothing reads are gone too. */
export function whatIsRead(whole: Graph): Graph {
  const graph = pruned(whole);
  const read = new Set<string>(graph.nodes.flatMap(readsOf));
  return { ...graph, inputs: graph.inputs.filter(({ name }) => read.has(name)) };
}
