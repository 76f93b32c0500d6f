import { readsOf } from "../onnx/order.ts";
import type { Attribute, Graph, Initializer, Node } from "../onnx/graph.ts";

/** Who makes and who reads each value of a graph, and what is constant in it. */
export class GraphIndex {
  readonly makers = new Map<string, Node>();
  readonly users = new Map<string, Node[]>();
  readonly constants = new Map<string, Initializer>();
  readonly outputs: ReadonlySet<string>;

  constructor(readonly graph: Graph) {
    for (const tensor of graph.initializers) this.constants.set(tensor.name, tensor);
    for (const node of graph.nodes) {
      for (const output of node.outputs) if (output !== "") this.makers.set(output, node);
      for (const input of new Set(readsOf(node))) {
        const users = this.users.get(input);
        if (users) users.push(node);
        else this.users.set(input, [node]);
      }
      const value = node.op === "Constant" ? node.attributes["value"] : undefined;
      const output = node.outputs[0];
      if (value?.kind === "tensor" && output) this.constants.set(output, value.value);
    }
    this.outputs = new Set(graph.outputs.map(({ name }) => name));
  }

  constant(value: string | undefined): Initializer | null {
    return (value !== undefined && this.constants.get(value)) || null;
  }

  usersOf(value: string): readonly Node[] {
    return this.users.get(value) ?? [];
  }

  /** The one node that reads a value which nothing else needs; null otherwise. */
  onlyUser(value: string): Node | null {
    const [user, ...others] = this.usersOf(value);
    return user && others.length === 0 && !this.outputs.has(value) ? user : null;
  }
}

/** An integer attribute, or what the operator takes without it. */
export function intOf(node: Node, name: string, fallback: number): number {
  const attribute: Attribute | undefined = node.attributes[name];
  return attribute?.kind === "int" ? attribute.value : fallback;
}

export function floatOf(node: Node, name: string, fallback: number): number {
  const attribute: Attribute | undefined = node.attributes[name];
  return attribute?.kind === "float" ? attribute.value : fallback;
}

/** "com.microsoft.MatMulNBits", "MatMul": an operator with its domain. */
export function opName({ domain, op }: Node): string {
  return domain === "" ? op : `${domain}.${op}`;
}
