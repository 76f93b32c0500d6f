/** What would run and be wrong, or fail deep inside ONNX Runtime: refused by name. */
import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import type { Graph, Initializer, Node } from "../onnx/graph.ts";
import type { AdapterEffects } from "../peft/effect.ts";
import { opName } from "./graphIndex.ts";

const products = new Set(["MatMul", "Gemm", "com.microsoft.MatMulNBits", "MatMulInteger"]);

/**
 * A merged decoder keeps its layers twice, inside an If on whether there is a past: nothing there can
 * be reached from outside.
 * @throws unsupported, naming the node
 */
export function refuseMerged({ nodes, initializers }: Graph, file: string): void {
  const holder = nodes.find((node) => holdsLayers(node, initializers));
  if (!holder) return;
  throw unsupported(
    t(
      '{0} keeps its layers inside the {1} node "{2}", as merged decoders do',
      file,
      holder.op,
      holder.name,
    ),
    t(
      "Export it without merging (optimum: --no-post-process), or take decoder_with_past_model.onnx.",
    ),
  );
}

/** Whether a graph inside a node multiplies by a constant matrix. */
function holdsLayers({ attributes }: Node, outer: readonly Initializer[]): boolean {
  return Object.values(attributes).some((attribute) => {
    if (attribute.kind !== "graph") return false;
    const { nodes, initializers } = attribute.value;
    const known = [...outer, ...initializers];
    const matrices = new Set<string>(
      known.filter(({ shape }) => shape.length > 1).map(({ name }) => name),
    );
    return nodes.some(
      (node) =>
        (products.has(opName(node)) && matrices.has(node.inputs[1] ?? "")) ||
        holdsLayers(node, known),
    );
  });
}

/** The version of ONNX's operators from which each can be used as Graft's builder writes it. */
const since: Readonly<Record<string, number>> = {
  ...{
    Where: 9,
    TopK: 11,
    Range: 11,
    Unique: 11,
    Clip: 11,
    GatherElements: 11,
    ScatterElements: 11,
  },
  ...{ GreaterOrEqual: 12, LessOrEqual: 12, Einsum: 12, Squeeze: 13, Unsqueeze: 13, Split: 13 },
  ...{ ReduceSum: 13, Softmax: 13, Trilu: 14, LayerNormalization: 17, ReduceMean: 18 },
  ...{ ReduceMin: 18, ReduceMax: 18, Gelu: 20 },
};

/**
 * Nodes that were put into an export use its own version of ONNX's operators.
 * @throws unsupported for one that this version does not have, or has otherwise
 */
export function refuseOldOperators(before: Graph, after: Graph, file: string): void {
  const version = before.format?.opsets.get("") ?? Infinity;
  const own = new Set(before.nodes.map(({ name }) => name));
  const tooNew = after.nodes.find(
    ({ name, domain, op }) => domain === "" && !own.has(name) && (since[op] ?? 0) > version,
  );
  if (!tooNew) return;
  const wanted = since[tooNew.op];
  throw unsupported(
    t(
      "{0} uses version {1} of ONNX's operators; what adapters do in it needs {2}-{3}",
      file,
      String(version),
      String(tooNew.op),
      String(wanted),
    ),
    t("Export it again with opset {0} or newer.", String(wanted)),
  );
}

/** Families that scale by 1 + weight; GenAI's builder stores the sum. */
const offsetNorms = /^(gemma|nemotron$|qwen3_next)/;

/** @throws unsupported for norms that stand in an export as another number than in the model */
export function refuseNorms(
  effects: AdapterEffects,
  { producer, modelType, file }: { producer: string; modelType: string; file: string },
): void {
  if (producer !== "onnxruntime-genai" || !offsetNorms.test(modelType)) return;
  const all = [effects, ...(effects.tasks ?? [])];
  if (!all.some(({ norms }) => (norms?.size ?? 0) > 0)) return;
  throw unsupported(
    t(
      "{0} was made by GenAI's builder, which adds 1 to the norms of {1}; this adapter replaces norms",
      file,
      modelType,
    ),
    t("Load it onto the Hugging Face checkpoint of the model."),
  );
}
