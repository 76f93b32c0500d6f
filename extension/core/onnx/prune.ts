import type { Graph, Node } from "./graph.ts";
import { readsOf } from "./order.ts";

/** The same graph without nodes and constants that no output comes from. */
export function pruned(graph: Graph): Graph {
  const needed = new Set<string>(graph.outputs.map(({ name }) => name));
  const nodes: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((name) => name !== "" && needed.has(name))) continue;
    for (const name of readsOf(node)) needed.add(name);
    nodes.push(node);
  }
  const initializers = graph.initializers.filter(({ name }) => needed.has(name));
  return { ...graph, nodes: nodes.reverse(), initializers };
}
