/**
 * Graph pass: the arithmetic of a model that PyTorch runs in a 16-bit type. Every operator of the
 * base rounds its result as PyTorch's kernels do (sums inside a product in fp32, then one rounding),
 * norms and softmax are computed in fp32 and rounded. Adapters stay in fp32, as PEFT's
 * autocast_adapter_dtype makes them unless that is off; what they add is rounded with the sum. ONNX
 * Runtime still computes in fp32, so this is for answers equal to Python's, not for speed.
 */
import type { Graph, Node } from "./graph.ts";
import { type LowPrecision, Rounding } from "./rounding.ts";
import { isNorm, roundNode } from "./roundingRules.ts";

/** What a model computes in. */
export interface Arithmetic {
  /** The type whose rounding the base has. */
  readonly dtype: LowPrecision;
  /** Adapters compute in fp32, as by default in PEFT; false rounds what they compute, too. */
  readonly autocastAdapterDtype: boolean;
}

/** @param ofBase names of the inputs that the base has without adapters */
export function inLowPrecision(
  graph: Graph,
  { dtype, autocastAdapterDtype }: Arithmetic,
  ofBase: ReadonlySet<string>,
): Graph {
  const pass = new Rounding(graph, dtype, ofBase);
  const names: string[] = graph.inputs.map(({ name }) => name);
  const fed = new Set(names.filter((name) => !ofBase.has(name)));
  /** Values of adapters that were not added to the base's yet. */
  const adapted = new Set(fed);
  for (const node of graph.nodes) {
    if (isAdapters(node, { fed, adapted })) {
      for (const output of node.outputs) adapted.add(output);
      if (autocastAdapterDtype || !products.has(node.op)) pass.nodes.push(node);
      else pass.roundOutput(node);
    } else {
      roundNode(pass, node);
    }
  }
  return Object.freeze({ ...graph, nodes: pass.nodes, initializers: pass.initializers });
}

/** What an adapter computes with rounding where it has the base's type. */
const products = new Set(["FusedMatMul", "MatMul", "Mul"]);

/** Sums, layers and norms of the base are the base's whatever goes into them. */
function isAdapters(
  node: Node,
  { fed, adapted }: { fed: ReadonlySet<string>; adapted: ReadonlySet<string> },
): boolean {
  if (!node.inputs.some((name) => adapted.has(name))) return false;
  const isBases = ["Add", "Concat", "FusedMatMul"].includes(node.op) || isNorm(node);
  return !isBases || isFactor(node, fed);
}

/** A layer of an adapter: x times one of its inputs. Attention to keys that it brings is scaled. */
function isFactor(
  { op, inputs: [, factor = ""], attributes: { alpha } }: Node,
  fed: ReadonlySet<string>,
): boolean {
  const isScaled = alpha?.kind === "float" && alpha.value !== 1;
  return op === "FusedMatMul" && fed.has(factor) && !isScaled;
}
