import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import type {
  Attribute,
  Graph,
  Initializer,
  Node,
  Value,
} from "../../../../extension/core/onnx/graph.ts";

export const int = (value: number): Attribute => ({ kind: "int", value });

/** Puts constants and nodes together under the names that a rule reads. */
export class Drawing {
  readonly g = new GraphBuilder();
  readonly nodes: Node[] = [];

  constant(name: string, shape: readonly number[], type: Initializer["type"] = "float32"): string {
    const count = shape.reduce((product, size) => product * size, 1);
    const bytes =
      type === "float32"
        ? new Uint8Array(Float32Array.from({ length: count }, (_, i) => i + 1).buffer)
        : Uint8Array.from({ length: count }, (_, i) => i + 1);
    return this.g.initializer(name, type, shape, { kind: "inline", bytes });
  }

  node(
    op: string,
    ends: readonly [readonly string[], readonly string[]],
    more: NodeMore = {},
  ): this {
    const [inputs, outputs] = ends as unknown as [Value[], Value[]];
    const { name = "", domain = "", attributes = {}, scopes } = more;
    const metadata = scopes && new Map([["pkg.torch.onnx.name_scopes", scopes]]);
    const node = { op, domain, name, inputs, outputs, attributes };
    this.nodes.push({ ...node, ...(metadata && { metadata }) });
    return this;
  }

  build(): Graph {
    this.g.input("x", "float32", ["batch", "seq", 2]);
    for (const node of this.nodes) this.g.keep(node);
    return this.g.build("drawing");
  }
}

interface NodeMore {
  name?: string;
  domain?: string;
  attributes?: Record<string, Attribute>;
  scopes?: string;
}
