import { t } from "@vscode/l10n";
import { badFile } from "../base/errors.ts";
import type { Graph, Node } from "./graph.ts";

/** Values that a node reads, also inside the graphs that it holds. */
export function readsOf(node: Node): string[] {
  const inner = Object.values(node.attributes).flatMap((attribute) => {
    if (attribute.kind !== "graph") return [];
    const { nodes, initializers, inputs, outputs } = attribute.value;
    const own = new Set<string>([
      ...nodes.flatMap((each) => each.outputs),
      ...initializers.map(({ name }) => name),
      ...inputs.map(({ name }) => name),
    ]);
    const read = [...nodes.flatMap(readsOf), ...outputs.map(({ name }) => name)];
    return read.filter((name) => !own.has(name));
  });
  return [...node.inputs.filter((name) => name !== ""), ...inner];
}

/**
 * The same graph with every node behind those that it reads from.
 * @throws bad-file when nodes read from each other in a circle, or two make the same value
 */
export function inOrder(graph: Graph, file: string): Graph {
  const makers = new Map<string, Node>();
  for (const node of graph.nodes) {
    for (const output of node.outputs) {
      if (output === "") continue;
      if (makers.has(output)) throw badFile(file, t('two nodes make the value "{0}"', output));
      makers.set(output, node);
    }
  }
  const given = new Set<string>([
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.map(({ name }) => name),
  ]);
  const state = new Map<Node, "open" | "done">();
  const nodes: Node[] = [];
  for (const start of graph.nodes) {
    // Depth first without recursion: chains are as long as the model is deep.
    const stack: Node[] = [start];
    for (let node = stack.at(-1); node; node = stack.at(-1)) {
      if (state.get(node) === "done") {
        stack.pop();
        continue;
      }
      const isFirst = !state.has(node);
      state.set(node, "open");
      const before = readsOf(node).flatMap((name) => makers.get(name) ?? []);
      const missing = before.filter((each) => state.get(each) !== "done");
      if (missing.length === 0) {
        state.set(node, "done");
        nodes.push(node);
        stack.pop();
      } else {
        const circle = missing.find((each) => state.get(each) === "open");
        if (circle || !isFirst) {
          throw badFile(file, t('its nodes go in a circle, by "{0}"', (circle ?? node).name));
        }
        stack.push(...missing);
      }
    }
  }
  const made = new Set([...given, ...makers.keys()]);
  const lost = graph.outputs.find(({ name }) => !made.has(name));
  if (lost) throw badFile(file, t('nothing makes the output "{0}"', lost.name));
  return { ...graph, nodes };
}
