/** How PyTorch's kernels round each operator of a base that runs in a 16-bit type. */
import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import { int } from "./attributes.ts";
import type { Node, Value } from "./graph.ts";
import { roundedGelu, roundedQuickGelu } from "./roundedSteps.ts";
import type { Rounding } from "./rounding.ts";

/**
 * Pushes a node of the base with its results rounded.
 * @throws unsupported for an operator whose rounding is not known
 */
export function roundNode(pass: Rounding, node: Node): void {
  const rule = rules[node.op];
  if (rule) return rule(pass, node);
  if (!exact.has(node.op)) {
    throw unsupported(
      t("Graft has no 16-bit arithmetic for models with the operator {0}", node.op),
    );
  }
  pass.nodes.push(node);
}

type Rule = (pass: Rounding, node: Node) => void;

const round: Rule = (pass, node) => pass.roundOutput(node);

/** A product that a sum takes at once (a bias, attention over past and new) is rounded with the sum. */
const product: Rule = (pass, original) => {
  const node = pass.withRoundedWeights(original);
  const alpha = node.attributes["alpha"];
  if (isTerm(pass, original)) {
    pass.nodes.push(node);
  } else if (alpha?.kind === "float" && alpha.value !== 1) {
    const { alpha: _, ...attributes } = node.attributes;
    const [output] = node.outputs as [Value];
    const plain = `${output}#plain` as Value;
    pass.roundOutput({ ...node, attributes, outputs: [plain] });
    const scaled = pass.pushRounded("Mul", [plain, pass.float32(alpha.value)]);
    pass.push("Identity", [scaled], {}, output);
  } else {
    pass.roundOutput(node);
  }
};

function isTerm(pass: Rounding, node: Node): boolean {
  const [user, ...others] = pass.usersOf(node);
  const rest = user?.inputs.filter((name) => name !== node.outputs[0]) ?? [];
  return (
    user?.op === "Add" &&
    others.length === 0 &&
    rest.some(
      (name) =>
        pass.isConstant(name) || (node.op === "MatMul" && pass.operatorOf(name) === "MatMul"),
    )
  );
}

/** Masks are added in fp32: their lowest value has no place in a 16-bit type. */
const add: Rule = (pass, node) => {
  if (node.inputs.some((name) => pass.isInputOfBase(name))) pass.nodes.push(node);
  else pass.roundOutput(pass.withRoundedWeights(node));
};

/** Rows of a table; one that is stored in 16 bits is picked as it is and cast afterwards. */
const gather: Rule = (pass, node) => {
  const [table = ""] = node.inputs;
  if (pass.isFloat32(table)) pass.roundOutput(node);
  else pass.nodes.push(node);
};

/** weight · round(x / rms(x)), each rounded. */
const rmsNorm: Rule = (pass, node) => {
  const [x, weight] = node.inputs as [Value, Value];
  const [output] = node.outputs as [Value];
  const one = pass.push("Add", [pass.push("Sub", [weight, weight]), pass.float32(1)]);
  const normed = `${output}#normed` as Value;
  pass.roundOutput({ ...node, inputs: [x, one], outputs: [normed] });
  pass.push("Identity", [pass.pushRounded("Mul", [normed, pass.roundOnce(weight)])], {}, output);
};

const addRmsNorm: Rule = (pass, node) => {
  const [x, skip, weight] = node.inputs as [Value, Value, Value];
  const [output, , , sum] = node.outputs as [Value, Value, Value, Value];
  const stream = pass.pushRounded("Add", [x, skip]);
  pass.push("Identity", [stream], {}, sum);
  rmsNorm(pass, {
    ...node,
    op: "SimplifiedLayerNormalization",
    domain: "",
    inputs: [sum, weight],
    outputs: [output],
    attributes: { ...node.attributes, axis: int(-1), stash_type: int(1) },
  });
};

/** x · cos + rotated x · sin with every step rounded, cos and sin too. */
const rotary: Rule = (pass, node) => {
  const { rotary_embedding_dim: size, num_heads: _, ...attributes } = node.attributes;
  if (size?.kind === "int") rotaryPart(pass, { ...node, attributes }, size.value);
  else wholeRotary(pass, node);
};

/** The same for the first numbers of each head; the others stay as they are. */
function rotaryPart(pass: Rounding, node: Node, size: number): void {
  const [x, ...tables] = node.inputs as [Value, Value, Value, Value];
  const [output] = node.outputs as [Value];
  const [start, end, rest, axis] = [[0], [size], [maximum], [-1]].map((each) => pass.int64s(each));
  const slice = (from: Value, to: Value): Value => pass.push("Slice", [x, from, to, axis as Value]);
  const turned = `${output}#turned` as Value;
  const inputs = [slice(start as Value, end as Value), ...tables];
  wholeRotary(pass, { ...node, inputs, outputs: [turned] });
  const kept = slice(end as Value, rest as Value);
  pass.push("Concat", [turned, kept], { axis: int(-1) }, output);
}

/** More than any size. */
const maximum = 2 ** 31;

const wholeRotary: Rule = (pass, node) => {
  const [x, positions, cos, sin] = node.inputs as [Value, Value, Value, Value];
  const [output] = node.outputs as [Value];
  const axis = pass.int64s([1]);
  const at = (table: Value): Value =>
    pass.push("Unsqueeze", [pass.push("Gather", [pass.roundOnce(table), positions]), axis]);
  const [c, s] = [at(cos), at(sin)];
  const halves = [`${output}#first`, `${output}#second`] as [Value, Value];
  pass.nodes.push({
    op: "Split",
    domain: "",
    name: `${node.name}/halves`,
    inputs: [x],
    outputs: halves,
    attributes: { axis: int(-1), num_outputs: int(2) },
  });
  const [first, second] = halves;
  const turned = pass.push("Neg", [second]);
  const sum = (a: Value, b: Value): Value =>
    pass.pushRounded("Add", [pass.pushRounded("Mul", [a, c]), pass.pushRounded("Mul", [b, s])]);
  pass.push("Concat", [sum(first, turned), sum(second, first)], { axis: int(-1) }, output);
};

const gelu: Rule = (pass, node) => {
  if (node.steps) roundedGelu(pass, node, node.steps);
  else pass.roundOutput(node);
};

/** With a factor of 1 it is SiLU, which PyTorch computes at once. */
const quickGelu: Rule = (pass, node) => {
  const { alpha } = node.attributes;
  if (alpha?.kind === "float" && alpha.value !== 1) roundedQuickGelu(pass, node, alpha.value);
  else pass.roundOutput(node);
};

/** Computed at once with rounded weight and bias. */
const layerNorm: Rule = (pass, node) => pass.roundOutput(pass.withRoundedWeights(node));

const norms: Readonly<Record<string, Rule>> = {
  LayerNormalization: layerNorm,
  SimplifiedLayerNormalization: rmsNorm,
  SkipSimplifiedLayerNormalization: addRmsNorm,
};

export function isNorm({ op }: Node): boolean {
  return Object.hasOwn(norms, op);
}

/** Operators that move values without computing. */
const exact = new Set([
  "Cast",
  "Concat",
  "Identity",
  "Relu",
  "Reshape",
  "Split",
  "Transpose",
  "Unsqueeze",
]);

const rules: Readonly<Record<string, Rule>> = {
  Add: add,
  FastGelu: gelu,
  FusedMatMul: product,
  Gather: gather,
  Gelu: round,
  MatMul: product,
  Mul: round,
  QuickGelu: quickGelu,
  RotaryEmbedding: rotary,
  Sigmoid: round,
  Softmax: round,
  Tanh: round,
  ...norms,
};
