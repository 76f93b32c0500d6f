import { GraphBuilder } from "../onnx/builder.ts";
import { type Graph, type Node, type OnnxType, onnxTypes, type Value } from "../onnx/graph.ts";
import { type BaseLayers, type LayerHook, linearGroup, sideBySide } from "../onnx/layerHook.ts";
import type { GraphIndex } from "./graphIndex.ts";
import type { LinearSite } from "./linearSites.ts";
import type { ExportMap, MappedLinear } from "./mapModules.ts";
import type { MappedEmbedding } from "./mapOthers.ts";

/** What a rewriting must know beside the map. */
export interface RewriteOptions {
  readonly index: GraphIndex;
  readonly map: ExportMap;
  /** Path of the module that makes the logits; null without one. */
  readonly head: string | null;
  /** Names of the token ids' input and of the logits' output. */
  readonly tokens: string;
  readonly logits: string;
}

/**
 * Graph pass: puts a hook around the mapped layers of an export. Nodes stay as they are; what the
 * hook makes of a layer's output takes that output's name. The logits become `logits` [batch, rows,
 * vocabulary] in fp32, of the positions in the new input `logits_rows`.
 */
export function rewriteExport(options: RewriteOptions, hook: LayerHook): Graph {
  return new Rewriting(options, hook).run();
}

class Rewriting {
  private readonly g = new GraphBuilder();
  private readonly graph: Graph;
  private readonly renamed = new Map<string, Value>();
  /** By the last node of their cluster. */
  private readonly linears: ReadonlyMap<Node, MappedLinear>;
  private readonly embeddings: ReadonlyMap<Node, MappedEmbedding>;
  private readonly rows: Value;
  private readonly head: LinearSite | null;
  private headRows: Value | null = null;

  constructor(
    private readonly options: RewriteOptions,
    private readonly hook: LayerHook,
  ) {
    const { index, map } = options;
    this.graph = index.graph;
    this.linears = new Map(map.linears.map((each) => [each.site.cluster.at(-1) as Node, each]));
    this.embeddings = new Map(map.embeddings.map((each) => [each.node, each]));
    this.g.adopt(this.graph);
    this.rows = this.g.input("logits_rows", "int64", ["rows"]);
    this.head = headSite(options);
  }

  run(): Graph {
    const { g, graph, options } = this;
    for (const { key, size, tensor } of options.map.norms) {
      const value = this.hook.norm(g, key, { value: tensor.name, size });
      if (value !== tensor.name) this.renamed.set(tensor.name, this.lower(value, tensor.type));
    }
    // The name "logits" is for what Graft reads.
    const all = `${options.logits}/all` as Value;
    this.renamed.set(options.logits, all);
    for (const node of graph.nodes) this.take(node);
    const logits = this.head ? all : g.gather(all, this.rows, 1);
    const port = graph.outputs.find(({ name }) => name === options.logits);
    const type = port?.type ?? "float32";
    g.output(this.raise(logits, type), "logits", "float32", ["batch", "rows", "vocabulary"]);
    for (const other of graph.outputs) if (other !== port) g.declareOutput(other);
    const { format, rest, name } = graph;
    return Object.freeze({
      ...g.build(name),
      ...(format && { format: { ...format, opsets: withMicrosoft(format.opsets) } }),
      ...(rest && { rest }),
    });
  }

  private take(node: Node): void {
    const isInHead = this.head?.cluster.includes(node) === true;
    const inputs = node.inputs.map((name) =>
      isInHead && name === this.head?.x ? this.headInput() : this.current(name),
    );
    const linear = this.linears.get(node);
    const embedding = this.embeddings.get(node);
    const y = linear?.site.y ?? embedding?.y;
    const outputs = node.outputs.map((name) =>
      name === y ? base(this.current(y)) : this.current(name),
    );
    this.g.keep({ ...node, inputs, outputs });
    if (linear) this.wrap(linear);
    if (embedding) this.wrapRows(embedding);
  }

  private current<T extends string>(name: T): T {
    return (this.renamed.get(name) as T | undefined) ?? name;
  }

  /** The rows of the head's input whose logits are wanted. */
  private headInput(): Value {
    const { x } = this.head as LinearSite;
    this.headRows ??= this.g.gather(this.current(x), this.rows, 1);
    return this.headRows;
  }

  private wrapRows({ module, y, type }: MappedEmbedding): void {
    const { g } = this;
    const rows = g.scope(module.path, () =>
      this.hook.embedding(g, module.path, { rows: this.raise(base(y), type) }),
    );
    g.named(this.lower(rows, type), y);
  }

  private wrap({ site, modules }: MappedLinear): void {
    const { g } = this;
    const group = linearGroup(modules);
    const y = this.current(site.y);
    const result = g.scope(group.name, () => {
      const x = site === this.head ? this.headInput() : this.current(site.x);
      const input = this.inRows(this.raise(x, site.type), site, site.in);
      const own = this.inRows(this.raise(base(y), site.type), site, site.out);
      const run = (at: Value): Value => (at === input ? own : this.again(site, at));
      const sizes = modules.map(({ out }) => out);
      const layers: BaseLayers = (at) => {
        if (typeof at === "string") return run(at);
        // Layers of one product with an input each: the product of each, and its part of it.
        return at.map((each, i) => g.split(run(each), sizes, -1)[i] as Value);
      };
      return sideBySide(g, this.hook.linears(g, group, { x: input, base: layers }));
    });
    g.named(this.lower(this.flat(result, site, site.out), site.type), y);
  }

  /** The site's nodes once more, on another input. */
  private again(site: LinearSite, input: Value): Value {
    const x = this.lower(this.flat(input, site, site.in), site.type);
    const made = new Map<string, Value>([[site.x, x]]);
    for (const node of site.cluster) {
      const inputs = node.inputs.map((name) => made.get(name) ?? this.current(name));
      const outputs = this.g.again(node, inputs);
      node.outputs.forEach((name, i) => made.set(name, outputs[i] as Value));
    }
    return this.inRows(this.raise(made.get(site.y) as Value, site.type), site, site.out);
  }

  /** [tokens, size] → [batch, seq, size] where a product is flat. */
  private inRows(value: Value, { isFlat }: LinearSite, size: number): Value {
    if (!isFlat) return value;
    const { g } = this;
    const batch = g.shapeOf(this.options.tokens as Value);
    return g.reshapeTo(value, g.concat([batch, g.int64s([size])], 0));
  }

  private flat(value: Value, { isFlat }: LinearSite, size: number): Value {
    return isFlat ? this.g.reshape(value, [-1, size]) : value;
  }

  private raise(value: Value, type: OnnxType): Value {
    return type === "float32" ? value : this.g.cast(value, onnxTypes.float32);
  }

  private lower(value: Value, type: OnnxType): Value {
    return type === "float32" ? value : this.g.cast(value, onnxTypes[type]);
  }
}

/** What a layer computes before the hook has its say. */
function base(y: Value): Value {
  return `${y}/base` as Value;
}

/** Operators that keep every position to itself. */
const positionwise = new Set(["Cast", "Identity", "Add", "Sub", "Mul", "Div", "Tanh"]);

/**
 * The head, where picking rows before it is the same as picking its logits: what comes behind it
 * works on every position for itself.
 */
function headSite({ index, map, head, logits }: RewriteOptions): LinearSite | null {
  const site = map.linears.find(({ modules }) => modules.some(({ path }) => path === head))?.site;
  if (!site || site.isFlat) return null;
  for (const node of site.cluster) {
    const inner = node.outputs.filter((name) => name !== "" && name !== site.y);
    const isOwn = inner.every((name) =>
      index.usersOf(name).every((user) => site.cluster.includes(user)),
    );
    if (!isOwn) return null;
  }
  let value: string = site.y;
  while (value !== logits) {
    const user = index.onlyUser(value);
    const others = user?.inputs.filter((name) => name !== value) ?? [];
    const isConstant = others.every((name) => (index.constant(name)?.shape.length ?? 9) <= 1);
    if (!user || !positionwise.has(user.op) || !isConstant) return null;
    value = user.outputs[0] ?? "";
  }
  return site;
}

function withMicrosoft(opsets: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  return opsets.has("com.microsoft") ? opsets : new Map([...opsets, ["com.microsoft", 1]]);
}
