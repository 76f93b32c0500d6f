/**
 * Graph pass: the arithmetic of a model that PyTorch runs in a 16-bit type. Every operator of the
 * base rounds its result as PyTorch's kernels do (sums inside a product in fp32, then one rounding),
 * norms and softmax are computed in fp32 and rounded. Adapters stay in fp32, as PEFT's
 * autocast_adapter_dtype makes them unless that is off; what they add is rounded with the sum. ONNX
 * Runtime still computes in fp32, so this is for answers equal to Python's, not for speed.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import {
  type Attribute,
  type Graph,
  type Initializer,
  type Node,
  type OnnxType,
  onnxTypes,
  type Value,
} from "./graph.ts";

import { roundedGelu, roundedQuickGelu } from "./roundedSteps.ts";

export type LowPrecision = Extract<OnnxType, "bfloat16" | "float16">;

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
  arithmetic: Arithmetic,
  ofBase: ReadonlySet<string>,
): Graph {
  const pass = new Rounding(graph, arithmetic, ofBase);
  for (const node of graph.nodes) pass.take(node);
  return Object.freeze({ ...graph, nodes: pass.nodes, initializers: pass.initializers });
}

class Rounding {
  readonly nodes: Node[] = [];
  readonly initializers: Initializer[];
  private readonly constants: Set<string>;
  /** Inputs that adapters feed. */
  private readonly factors: ReadonlySet<string>;
  /** Values of adapters that were not added to the base's yet. */
  private readonly adapted: Set<string>;
  private readonly users = new Map<string, Node[]>();
  private readonly makers = new Map<string, Node>();
  private readonly rounded = new Map<Value, Value>();
  private count = 0;

  constructor(
    graph: Graph,
    private readonly arithmetic: Arithmetic,
    private readonly ofBase: ReadonlySet<string>,
  ) {
    this.initializers = [...graph.initializers];
    this.constants = new Set(graph.initializers.map(({ name }) => name));
    this.factors = new Set(
      graph.inputs.map(({ name }) => name).filter((name) => !ofBase.has(name)),
    );
    this.adapted = new Set(this.factors);
    for (const node of graph.nodes) {
      for (const input of node.inputs) {
        this.users.set(input, [...(this.users.get(input) ?? []), node]);
      }
      for (const output of node.outputs) this.makers.set(output, node);
      const [input = "", output = ""] = [node.inputs[0], node.outputs[0]];
      if (node.op === "Cast" && this.constants.has(input)) this.constants.add(output);
    }
  }

  take(node: Node): void {
    const rule = rules[node.op];
    const isAdapters = node.inputs.some((name) => this.adapted.has(name));
    // Sums, layers and norms of the base are the base's whatever goes into them.
    if (isAdapters && (!ofBaseAlways.has(node.op) || this.isFactor(node))) {
      for (const output of node.outputs) this.adapted.add(output);
      const isExact = this.arithmetic.autocastAdapterDtype || !products.has(node.op);
      if (isExact) this.nodes.push(node);
      else this.roundOutput(node);
    } else if (rule) {
      rule(this, node);
    } else if (exact.has(node.op)) {
      this.nodes.push(node);
    } else {
      throw unsupported(
        t("Graft has no 16-bit arithmetic for models with the operator {0}", node.op),
      );
    }
  }

  /** A layer of an adapter: x times one of its inputs. Attention to keys that it brings is scaled. */
  private isFactor({ op, inputs: [, factor = ""], attributes: { alpha } }: Node): boolean {
    const isScaled = alpha?.kind === "float" && alpha.value !== 1;
    return op === "FusedMatMul" && this.factors.has(factor) && !isScaled;
  }

  /** The node as it is, its first output rounded. */
  roundOutput(node: Node): void {
    const [output] = node.outputs as [Value];
    const exact = this.fresh(output);
    this.nodes.push({ ...node, outputs: [exact, ...node.outputs.slice(1)] });
    this.push("Cast", [this.cast(exact)], { to: int(onnxTypes.float32) }, output);
  }

  round(value: Value): Value {
    return this.push("Cast", [this.cast(value)], { to: int(onnxTypes.float32) });
  }

  /** A weight or table, rounded once for all who read it. */
  roundOnce(value: Value): Value {
    const known = this.rounded.get(value) ?? this.round(value);
    this.rounded.set(value, known);
    return known;
  }

  private cast(value: Value): Value {
    return this.push("Cast", [value], { to: int(onnxTypes[this.arithmetic.dtype]) });
  }

  push(
    op: string,
    inputs: readonly Value[],
    attributes: Record<string, Attribute> = {},
    output?: Value,
  ): Value {
    const name = output ?? this.fresh(`low/${op}` as Value);
    const node = { op, domain: "", name: `${name}/low`, inputs, outputs: [name], attributes };
    this.nodes.push(node);
    return name;
  }

  pushRounded(op: string, inputs: readonly Value[]): Value {
    return this.round(this.push(op, inputs));
  }

  int64s(values: readonly number[]): Value {
    const name = this.fresh("low/const" as Value);
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    this.initializers.push({
      name,
      type: "int64",
      shape: [values.length],
      data: { kind: "inline", bytes },
    });
    return name;
  }

  float32(value: number): Value {
    const name = this.fresh("low/const" as Value);
    const bytes = new Uint8Array(Float32Array.of(value).buffer);
    this.initializers.push({ name, type: "float32", shape: [1], data: { kind: "inline", bytes } });
    return name;
  }

  private fresh(like: Value): Value {
    return `${like}#${this.count++}` as Value;
  }

  isFloat32(name: string): boolean {
    return this.initializers.some((each) => each.name === name && each.type === "float32");
  }

  isConstant(name: string): boolean {
    return this.constants.has(name);
  }

  /** The operator that makes a value; undefined for inputs and constants. */
  operatorOf(name: string): string | undefined {
    return this.makers.get(name)?.op;
  }

  isInputOfBase(name: string): boolean {
    return this.ofBase.has(name);
  }

  usersOf(node: Node): readonly Node[] {
    return this.users.get(node.outputs[0] as string) ?? [];
  }

  /** The node with its weights rounded. */
  withRoundedWeights(node: Node): Node {
    const inputs = node.inputs.map((name) =>
      name !== "" && this.isConstant(name) ? this.roundOnce(name) : name,
    );
    return { ...node, inputs };
  }
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

const norms = {
  LayerNormalization: layerNorm,
  SimplifiedLayerNormalization: rmsNorm,
  SkipSimplifiedLayerNormalization: addRmsNorm,
};

const ofBaseAlways = new Set(["Add", "Concat", "FusedMatMul", ...Object.keys(norms)]);

/** What an adapter computes with rounding where it has the base's type. */
const products = new Set(["FusedMatMul", "MatMul", "Mul"]);

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

function int(value: number): Attribute {
  return { kind: "int", value };
}
