import type { Graph, Value } from "../onnx/graph.ts";

/** An input's name inside a session, and outside. */
interface Renamed {
  readonly short: Value;
  readonly long: Value;
}

/** A graph whose inputs have short names. */
export interface ShortNamed {
  readonly graph: Graph;
  /** Null where the graph keeps its names. */
  readonly names: readonly Renamed[] | null;
}

/**
 * Gives a graph's inputs short names: the binding makes a string of every input's name in every run and
 * looks it up in the feeds, which takes a fifth less time than with names of 50 characters (a
 * decoder with slots for adapters has hundreds). A graph that was read from a file keeps its own.
 */
export function withShortNames(graph: Graph): ShortNamed {
  const hasInner = graph.nodes.some(({ attributes }) =>
    Object.values(attributes).some(({ kind }) => kind === "graph" || kind === "encoded"),
  );
  if (graph.format || hasInner) return { graph, names: null };
  const names = graph.inputs.map(({ name }, i) => ({ long: name, short: `#${i}` as Value }));
  const short = new Map(names.map((each) => [each.long as string, each.short]));
  const renamed = <T extends Value | "">(name: T): T | Value => short.get(name) ?? name;
  const inputs = graph.inputs.map((port) => ({ ...port, name: renamed(port.name) }));
  const nodes = graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map(renamed) }));
  return { graph: { ...graph, inputs, nodes }, names };
}

/** A message of ONNX Runtime's with the names as they are outside. */
export function longNamed(message: string, names: readonly Renamed[]): string {
  return message.replace(/(?<![\w/])#(\d+)(?!\w)/g, (all, i) => names[Number(i)]?.long ?? all);
}
