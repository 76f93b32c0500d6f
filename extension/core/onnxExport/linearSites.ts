import type { Initializer, Node, OnnxType, Value } from "../onnx/graph.ts";
import { floatOf, type GraphIndex, intOf, opName } from "./graphIndex.ts";
import {
  seenShape,
  turned,
  vectorOf,
  type WeightSource,
  weightSource,
  weightType,
} from "./weightSource.ts";

/** A place in a graph that computes x · W (+ bias) of a constant W. */
export interface LinearSite {
  /** The operator that multiplies. */
  readonly node: Node;
  readonly x: Value;
  readonly y: Value;
  readonly in: number;
  readonly out: number;
  /** Type of x and y. */
  readonly type: OnnxType;
  /** True where x is [tokens, in] instead of [batch, seq, in]. */
  readonly isFlat: boolean;
  /** The nodes from x to y in the order of computation. */
  readonly cluster: readonly Node[];
  /** Seen as [in, out]. */
  readonly weight: WeightSource;
  readonly bias: Initializer | null;
  /** The same without the addition behind it. */
  readonly bare?: LinearSite;
}

type Found = Omit<LinearSite, "in" | "out" | "node" | "isFlat" | "bare"> & { isFlat?: boolean };

/** What each multiplying operator is made of; null for one whose second factor is no constant. */
const rules: Record<string, (index: GraphIndex, node: Node) => Found | null> = {
  MatMul: (index, node) => product(node, weightSource(index, node.inputs[1])),
  "com.microsoft.FusedMatMul": (index, node) => {
    if (intOf(node, "transA", 0) !== 0 || floatOf(node, "alpha", 1) !== 1) return null;
    const weight = weightSource(index, node.inputs[1]);
    return product(node, weight && intOf(node, "transB", 0) === 1 ? turned(weight) : weight);
  },
  Gemm: (index, node) => {
    const isPlain = floatOf(node, "alpha", 1) === 1 && floatOf(node, "beta", 1) === 1;
    const weight = weightSource(index, node.inputs[1]);
    if (!weight || !isPlain || intOf(node, "transA", 0) !== 0) return null;
    const seen = intOf(node, "transB", 0) === 1 ? turned(weight) : weight;
    const own = node.inputs[2];
    const bias = vectorOf(index, own, seenShape(seen)[1]);
    const found = product(node, seen);
    return found && (!own || bias) ? { ...found, bias, isFlat: true } : null;
  },
  "com.microsoft.MatMulNBits": (index, node) => {
    const [rows, columns] = [intOf(node, "N", 0), intOf(node, "K", 0)];
    const [, packed, scale, zero, order, bias] = node.inputs;
    const [tensor, scales, zeros] = [packed, scale, zero].map((each) => index.constant(each));
    if (!tensor || !scales || order) return null;
    const sizes = { bits: intOf(node, "bits", 4), block: intOf(node, "block_size", 32) };
    const shape = [rows, columns] as const;
    const common = { tensor, scales, zeros: zeros ?? null, shape, isTurned: true };
    const found = product(node, { kind: "packed", ...common, ...sizes });
    return found && { ...found, bias: vectorOf(index, bias, rows) };
  },
  "com.microsoft.DynamicQuantizeMatMul": (index, node) => {
    const weight = scaled(index, node.inputs[1], [node.inputs[2], node.inputs[3]]);
    const found = product(node, weight);
    return found && weight && { ...found, bias: vectorOf(index, node.inputs[4], weight.shape[1]) };
  },
  MatMulInteger: dynamicProduct,
};

/** y = node(x, weight), nothing around it. */
function product(node: Node, weight: WeightSource | null): Found | null {
  const [x, y] = [node.inputs[0], node.outputs[0]];
  if (!weight || !x || !y) return null;
  return { x, y, type: weightType(weight), cluster: [node], weight, bias: null };
}

function scaled(
  index: GraphIndex,
  value: string | undefined,
  [scale, zero]: readonly (string | undefined)[],
): WeightSource | null {
  const [tensor, scales, zeros] = [value, scale, zero].map((each) => index.constant(each));
  if (!tensor || !scales || tensor.shape.length !== 2) return null;
  const shape = [tensor.shape[0] as number, tensor.shape[1] as number] as const;
  const common = { tensor, scales, zeros: zeros ?? null, axis: 1, block: 0 };
  return { kind: "scaled", ...common, shape, isTurned: false };
}

/**
 * What quantize_dynamic makes of a product: x in 8 bits, times W in 8 bits, as a float, times both
 * scales.
 */
function dynamicProduct(index: GraphIndex, node: Node): Found | null {
  const rounded = index.makers.get(node.inputs[0] ?? "");
  const sum = node.outputs[0];
  const cast = sum ? index.onlyUser(sum) : null;
  const float = cast?.op === "Cast" ? cast.outputs[0] : undefined;
  const last = float ? index.onlyUser(float) : null;
  const y = last?.op === "Mul" ? last.outputs[0] : undefined;
  const x = rounded?.op === "DynamicQuantizeLinear" ? rounded.inputs[0] : undefined;
  if (!x || !y || !last || !cast || !rounded) return null;
  const factor = last.inputs.find((name) => name !== float);
  const factors = factor === undefined ? undefined : index.makers.get(factor);
  if (factors?.op !== "Mul") return null;
  const scale = factors.inputs.find((name) => index.constant(name));
  const weight = scaled(index, node.inputs[1], [scale, node.inputs[3]]);
  if (!weight || !factors.inputs.includes(rounded.outputs[1] as Value)) return null;
  const cluster = [rounded, factors, node, cast, last];
  return { x, y, type: "float32", cluster, weight, bias: null };
}

/** Every product with a constant matrix, in the graph's order. */
export function linearSites(index: GraphIndex): LinearSite[] {
  return index.graph.nodes.flatMap((node) => {
    const found = rules[opName(node)]?.(index, node);
    if (!found) return [];
    const [inputs, out] = seenShape(found.weight);
    return [withBias(index, { node, isFlat: false, ...found, in: inputs, out })];
  });
}

/** Takes an addition of a constant vector behind the product in. */
function withBias(index: GraphIndex, site: LinearSite): LinearSite {
  if (site.bias) return site;
  const user = index.onlyUser(site.y);
  const other = user?.inputs.find((name) => name !== site.y);
  const bias = user?.op === "Add" ? vectorOf(index, other, site.out) : null;
  const y = user?.outputs[0];
  if (!bias || !user || !y) return site;
  return { ...site, y, bias, cluster: [...site.cluster, user], bare: site };
}
