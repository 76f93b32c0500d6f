import type { ModuleInfo, ModuleTree } from "../checkpoint/modules.ts";
import type { Initializer, Node, OnnxType, Value } from "../onnx/graph.ts";
import { type GraphIndex, intOf, opName } from "./graphIndex.ts";
import { means, modulePath, scopeOf, spelled } from "./names.ts";
import { seenShape, type WeightSource, weightSource, weightType } from "./weightSource.ts";

export type EmbeddingModule = Extract<ModuleInfo, { kind: "embedding" }>;

/** A look-up and the embedding that it is. */
export interface MappedEmbedding {
  readonly module: EmbeddingModule;
  readonly node: Node;
  /** Rows [batch, seq, dim]. */
  readonly y: Value;
  readonly type: OnnxType;
  /** Null for a table that Graft does not read. */
  readonly weight: WeightSource | null;
}

/** A norm's weight or bias, by its key among a plan's norms, and the constant that it is. */
export interface MappedNorm {
  readonly key: string;
  readonly size: number;
  readonly tensor: Initializer;
}

/** Nodes that pick rows of a table of a module's size under its name. */
export function mapEmbeddings(index: GraphIndex, tree: ModuleTree): MappedEmbedding[] {
  const wanted = tree.modules.flatMap((each) => (each.kind === "embedding" ? [each] : []));
  const found: MappedEmbedding[] = [];
  for (const node of index.graph.nodes) {
    const table = tableOf(index, node);
    const y = node.outputs[0];
    if (!table || !y) continue;
    const names = [scopeOf(node), modulePath(node.name), modulePath(node.inputs[0] ?? "")];
    const module = wanted.find(
      (each) =>
        table.fits([each.in, each.out]) &&
        names.some((name) => name !== null && spelled(name).some((path) => means(path, each.path))),
    );
    if (module && !found.some((each) => each.module === module)) {
      const { type, weight, last = node } = table;
      found.push({ module, node: last, y: (last.outputs[0] ?? y) as Value, type, weight });
    }
  }
  return found;
}

/** A constant table that a node looks rows up in. */
interface Table {
  readonly fits: (size: [number, number]) => boolean;
  readonly type: OnnxType;
  readonly weight: WeightSource | null;
  /** The node that makes the rows, where it is not the look-up itself. */
  readonly last?: Node;
}

function tableOf(index: GraphIndex, node: Node): Table | null {
  if (node.op === "Gather" && intOf(node, "axis", 0) === 0) {
    const plain = weightSource(index, node.inputs[0]);
    const rounded = plain ? null : roundedTable(index, node);
    const weight = plain ?? rounded?.weight;
    if (!weight) return null;
    const [rows, dim] = seenShape(weight);
    const fits = (size: [number, number]): boolean => size[0] === rows && size[1] === dim;
    return { fits, type: weightType(weight), weight, ...(rounded && { last: rounded.last }) };
  }
  if (opName(node) !== "com.microsoft.GatherBlockQuantized") return null;
  const scales = index.constant(node.inputs[2]);
  const block = intOf(node, "block_size", 128);
  const [rows, blocks] = scales?.shape ?? [];
  if (!scales) return null;
  const fits = (size: [number, number]): boolean =>
    size[0] === rows && Math.ceil(size[1] / block) === blocks;
  return { fits, type: scales.type, weight: null };
}

/** Rows of 8-bit integers that are made floats once they are picked, with one scale for all. */
function roundedTable(index: GraphIndex, node: Node): { weight: WeightSource; last: Node } | null {
  const tensor = index.constant(node.inputs[0]);
  const last = index.onlyUser(node.outputs[0] ?? "");
  if (tensor?.shape.length !== 2 || last?.op !== "DequantizeLinear") return null;
  const [scales, zeros] = last.inputs.slice(1).map((name) => index.constant(name));
  if (scales?.shape.some((size) => size !== 1) !== false) return null;
  const shape = [tensor.shape[0] as number, tensor.shape[1] as number] as const;
  const common = { tensor, scales, zeros: zeros ?? null, axis: 1, block: 0 };
  return { weight: { kind: "scaled", ...common, shape, isTurned: false }, last };
}

/** Constants of norms, by names and sizes. */
export function mapNorms(index: GraphIndex, tree: ModuleTree): MappedNorm[] {
  const wanted = tree.modules.flatMap((each) => (each.kind === "norm" ? [each] : []));
  const outer = wanted.filter(({ path }) => !/\.\d+\./.test(path));
  const found = new Map<string, MappedNorm>();
  for (const tensor of index.constants.values()) {
    // A constant that two nodes read may stand for two norms that happen to be equal.
    if (tensor.shape.length !== 1 || index.usersOf(tensor.name).length !== 1) continue;
    const isBias = tensor.name.endsWith("bias");
    const name = modulePath(tensor.name);
    const isLast = /\.final_norm_layernorm$/.test(name) && outer.length === 1;
    const module = isLast
      ? outer[0]
      : wanted.find(({ path }) => spelled(name).some((each) => means(each, path)));
    if (!module || tensor.shape[0] !== module.out || (isBias && module.hasBias !== true)) continue;
    const key = isBias ? `${module.path}.bias` : module.path;
    found.set(key, { key, size: module.out, tensor });
  }
  return [...found.values()];
}
