import { t } from "@vscode/l10n";
import { type GraftError, unsupported } from "../base/errors.ts";
import type { GraphBuilder } from "../onnx/builder.ts";
import { filled } from "../onnx/calculus.ts";
import type { Dimension } from "../onnx/dimensions.ts";
import type { Initializer, Node, OnnxType, Value } from "../onnx/graph.ts";
import { sumTo } from "./broadcast.ts";

/** What a rule of a node sees of the pass. */
export interface Surroundings {
  readonly g: GraphBuilder;
  /** The value that a rule reads in the place of a forward one: itself, or made again. */
  read(value: Value): Value;
  gradientOf(value: Value): Value | null;
  leads(value: Value): boolean;
  shapeOf(value: Value): readonly Dimension[] | null;
  typeOf(value: Value): OnnxType;
  numbersOf(value: Value): readonly number[] | null;
  constantOf(value: Value): Initializer | undefined;
  /** Made at the first call with a key, the same from then on. */
  once(key: string, make: () => Value): Value;
  /** Gradients that are zero but in some places, by their value. */
  readonly scattered: Map<Value, Scattered>;
}

/** A gradient that is zero but at `ids` along `axis`, where it is `updates` (ONNX's ScatterElements). */
export interface Scattered {
  readonly ids: Value;
  readonly updates: Value;
  readonly axis: number;
}

/** A node whose outputs' gradients have arrived, and what its rule may ask. */
export class Place {
  readonly g: GraphBuilder;

  constructor(
    readonly node: Node,
    readonly around: Surroundings,
  ) {
    this.g = around.g;
  }

  /** An input of the node. */
  x(i: number): Value {
    return this.around.read(this.node.inputs[i] as Value);
  }

  /** An output of the node. */
  y(i = 0): Value {
    return this.around.read(this.node.outputs[i] as Value);
  }

  has(i: number): boolean {
    return this.node.inputs[i] !== undefined && this.node.inputs[i] !== "";
  }

  /** Does this input lead to a value whose gradient is wanted? */
  needs(i: number): boolean {
    return this.has(i) && this.around.leads(this.node.inputs[i] as Value);
  }

  /** What has arrived for an output; null where nothing has. */
  dy(i = 0): Value | null {
    const output = this.node.outputs[i];
    return output === undefined || output === "" ? null : this.around.gradientOf(output);
  }

  /** Sizes of an input, null where they are not known before a run. */
  shape(i: number): readonly Dimension[] | null {
    return this.has(i) ? this.around.shapeOf(this.node.inputs[i] as Value) : null;
  }

  outputShape(i = 0): readonly Dimension[] | null {
    const output = this.node.outputs[i];
    return output === undefined || output === "" ? null : this.around.shapeOf(output);
  }

  type(i: number): OnnxType {
    return this.around.typeOf(this.node.inputs[i] as Value);
  }

  outputType(i = 0): OnnxType {
    return this.around.typeOf(this.node.outputs[i] as Value);
  }

  /** The numbers of an input that is an int64 constant. */
  constant(i: number): readonly number[] | null {
    return this.has(i) ? this.around.numbersOf(this.node.inputs[i] as Value) : null;
  }

  int(name: string, otherwise: number): number {
    const attribute = this.node.attributes[name];
    return attribute?.kind === "int" ? attribute.value : otherwise;
  }

  float(name: string, otherwise: number): number {
    const attribute = this.node.attributes[name];
    return attribute?.kind === "float" ? attribute.value : otherwise;
  }

  text(name: string, otherwise: string): string {
    const attribute = this.node.attributes[name];
    return attribute?.kind === "string" ? attribute.value : otherwise;
  }

  /** Zeros of an input's shape. */
  zeros(i: number): Value {
    return filled(this.g, 0, this.g.shapeOf(this.x(i)));
  }

  /** The axis that an attribute names, counted from the first where the rank is known. */
  axis(otherwise: number, rank = this.shape(0)?.length): number {
    const axis = this.int("axis", otherwise);
    return axis < 0 && rank !== undefined ? axis + rank : axis;
  }

  /** A gradient of the output's shape, summed over what broadcasting has repeated of an input. */
  sumTo(i: number, gradient: Value): Value {
    const [from, to] = [this.outputShape(), this.shape(i)];
    return sumTo(this.g, gradient, { from, to, like: () => this.x(i) });
  }
}

/** An operator in a form that has no rule. */
export function withoutRule({ node }: Place, form: string): GraftError {
  return unsupported(
    t('Graft has no gradient of {0} with {1} yet (node "{2}")', node.op, form, node.name),
    t("Choose other target modules, or another method."),
  );
}

/** The gradient of one input, computed only if it is wanted. */
export type Part = (() => Value | null) | null;

/** From the gradient of the first output to those of the inputs, one entry an input. */
export type Rule = (at: Place, dy: Value) => readonly Part[];

/** One value for several inputs that all get it. */
export function shared(make: () => Value): () => Value {
  let made: Value | undefined;
  return () => (made ??= make());
}
