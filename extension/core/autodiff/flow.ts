/** Where gradients can flow: which values lead to a wanted one, through operators of real numbers. */
import { isDetached } from "../onnx/builder.ts";
import type { Graph, Node, OnnxType, Value } from "../onnx/graph.ts";
import { intOf, typeOf } from "../onnx/shapeRules.ts";

const real = new Set<OnnxType>(["float32", "float64", "float16", "bfloat16"]);

/** Operators whose derivative is zero wherever they have one: they step, or read a shape alone. */
const flat = new Set(
  "Bernoulli Ceil EyeLike Floor RandomNormalLike RandomUniformLike Round Sign".split(" "),
);

const toBool = new Set(
  "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor".split(" "),
);
const toInt64 = new Set(["ArgMax", "ArgMin", "NonZero", "Shape", "Size"]);

/** Values that depend on one of `wrt` in a way that has a derivative; `wrt` themselves among them. */
export function leadingValues(
  { nodes }: Graph,
  wrt: readonly Value[],
  types: ReadonlyMap<string, OnnxType>,
): Set<Value> {
  const isReal = (name: Value | ""): name is Value => real.has(types.get(name) ?? "bool");
  const leading = new Set<Value>(wrt);
  for (const node of nodes) {
    if (flat.has(node.op) || isDetached(node)) continue;
    if (!node.inputs.some((name) => isReal(name) && leading.has(name))) continue;
    for (const output of node.outputs) if (isReal(output)) leading.add(output);
  }
  return leading;
}

/** The element type of every value. */
export function valueTypes({ inputs, initializers, nodes }: Graph): Map<string, OnnxType> {
  const types = new Map<string, OnnxType>(
    [...inputs, ...initializers].map(({ name, type }) => [name, type]),
  );
  for (const node of nodes) {
    node.outputs.forEach((output, i) => {
      if (output !== "") types.set(output, typeOfOutput(node, i, types));
    });
  }
  return types;
}

function typeOfOutput(node: Node, output: number, types: ReadonlyMap<string, OnnxType>): OnnxType {
  const of = (input: number): OnnxType => types.get(node.inputs[input] ?? "") ?? "float32";
  const { op } = node;
  if (toBool.has(op)) return "bool";
  if (toInt64.has(op)) return "int64";
  if (output > 0 && (op === "TopK" || op === "Unique")) return "int64";
  switch (op) {
    case "Cast":
      return typeOf(intOf(node, "to")) ?? of(0);
    case "Where":
    case "DequantizeLinear":
      return of(1);
    case "ConstantOfShape": {
      const value = node.attributes["value"];
      return value?.kind === "tensor" ? value.value.type : "float32";
    }
    case "Constant":
      return constantType(node);
    case "GatherBlockQuantized":
      return of(2);
    default:
      return of(0);
  }
}

function constantType({ attributes }: Node): OnnxType {
  const value = attributes["value"];
  if (value?.kind === "tensor") return value.value.type;
  return "value_int" in attributes || "value_ints" in attributes ? "int64" : "float32";
}
