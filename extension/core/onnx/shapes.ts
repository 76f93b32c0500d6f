import type { Dimension } from "./dimensions.ts";
import type { Graph, Port, Value } from "./graph.ts";
import { intOf, type Known, rangeOf, type ShapePlace, shapeRules } from "./shapeRules.ts";

/**
 * Types and shapes of the values that nodes make, as far as they follow from the inputs' shapes.
 * ONNX Runtime infers them as well, but loses a size at every -1 of a reshape and wherever "1 or
 * batch" meets "batch"; its plan of memory then finds no value to reuse, and the time to make a session
 * grows with the square of the nodes.
 */
export function valueShapes(graph: Graph): Port[] {
  const { nodes, outputs } = graph;
  const known = knownValues(graph);
  const declared = new Set<string>(outputs.map(({ name }) => name));
  return nodes
    .flatMap((node) => node.outputs)
    .flatMap((name) => {
      const value = known.get(name);
      return value && !declared.has(name) ? [portOf(name as Value, value)] : [];
    });
}

/** What is known of each value, inputs and constants among them. */
export function knownValues({ inputs, initializers, nodes }: Graph): Map<string, Known> {
  const known = new Map<string, Known>(
    [...inputs.filter(({ isUnranked }) => !isUnranked), ...initializers].map(
      ({ name, type, shape }) => [name, { type, shape }],
    ),
  );
  const constants = int64Constants({ initializers });
  /** Entries of int64 vectors that tell sizes. */
  const contents = new Map<string, readonly Dimension[]>();
  const sizesOf = (name: string | undefined): readonly Dimension[] | null =>
    contents.get(name ?? "") ?? constants(name);
  for (const node of nodes) {
    const own = node.inputs.map((name) => known.get(name));
    const place: ShapePlace = {
      node,
      inputs: own,
      constant: (i) => constants(node.inputs[i]),
      sizes: (i) => sizesOf(node.inputs[i]),
    };
    const [x] = own;
    const made = x && shapeRules[node.op]?.(x, place);
    made?.forEach((value, i) => {
      const name = node.outputs[i];
      if (value && name !== undefined && name !== "") known.set(name, value);
    });
    const content = contentOf(place);
    const [output] = node.outputs;
    if (content && output !== undefined) contents.set(output, content);
  }
  return known;
}

/** The numbers of int64 constants by name; null for anything else. */
export function int64Constants({
  initializers,
}: Pick<Graph, "initializers">): (name: string | undefined) => number[] | null {
  const constants = new Map(initializers.map((each) => [each.name as string, each]));
  return (name) => {
    const tensor = constants.get(name ?? "");
    if (tensor?.type !== "int64" || tensor.data.kind !== "inline") return null;
    const { bytes } = tensor.data;
    return Array.from(new BigInt64Array(Uint8Array.from(bytes).buffer), Number);
  };
}

/** What a vector of sizes says; null for other values. */
function contentOf(place: ShapePlace): readonly Dimension[] | null {
  const { node, inputs } = place;
  const [x] = inputs;
  switch (node.op) {
    case "Shape":
      return x ? rangeOf(node, x.shape) : null;
    case "Concat": {
      if (x?.type !== "int64" || x.shape.length !== 1) return null;
      const parts = inputs.map((_, i) => place.sizes(i));
      return parts.includes(null) ? null : parts.flatMap((part) => part as Dimension[]);
    }
    case "Gather": {
      const [all, ids] = [place.sizes(0), place.constant(1)];
      if (!all || !ids || (intOf(node, "axis") ?? 0) !== 0) return null;
      return ids.map((id) => all.at(id) ?? null);
    }
    default:
      return null;
  }
}

function portOf(name: Value, { type, shape }: Known): Port {
  // "" is a size without a name.
  return { name, type, shape: shape.map((size) => size ?? "") };
}
