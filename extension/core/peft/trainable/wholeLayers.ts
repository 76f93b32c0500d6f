/** Layers of the base that are trained whole, in a graph: modules_to_save and biases. */
import { t } from "@vscode/l10n";
import { GraftError } from "../../base/errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import {
  type GroupLayers,
  type LayerHook,
  type LayerParts,
  type LinearModule,
  oneByOne,
} from "../../onnx/layerHook.ts";
import type { ParameterInputs } from "./parameters.ts";
import type { WholeTensor } from "./whole.ts";

/** Names of inputs by the base's own names of what they stand for. */
export type WholeNames = ReadonlyMap<string, string>;

export function wholeNames(whole: readonly WholeTensor[]): WholeNames {
  return new Map(whole.map((own) => [`${own.module.path}.${own.parameter}`, own.name]));
}

/** A group's layers, of which one is asked for. */
export interface WholeLayer {
  readonly whole: WholeNames;
  readonly inputs: ParameterInputs;
  readonly layers: GroupLayers;
  readonly parts: LayerParts;
  readonly index: number;
  /** Of the base's own layers, one by one. */
  outputs(): readonly Value[];
}

/** A base layer with what of it is trained whole. */
export function wholeBase(
  g: GraphBuilder,
  module: LinearModule,
  { whole, inputs, parts, index, layers, outputs }: WholeLayer,
): (x: Value) => Value {
  const weightName = whole.get(`${module.path}.weight`);
  const biasName = whole.get(`${module.path}.bias`);
  const bias = biasName === undefined ? null : inputs.in(g, biasName);
  if (weightName !== undefined) {
    const stored = inputs.in(g, weightName);
    const flat = module.kernel ? g.reshape(stored, [module.out, module.in]) : stored;
    return (x) => {
      const y = module.isTransposed ? g.matMul(x, flat) : g.matMulTransposed(x, flat);
      return bias === null ? y : g.add(y, bias);
    };
  }
  const plain = (x: Value): Value =>
    x === layers.x ? (outputs()[index] as Value) : parts.layer(index, x);
  const old = bias === null ? null : parts.bias(index);
  if (bias === null || old === null) return plain;
  return (x) => g.add(plain(x), g.sub(bias, old));
}

/** A hook that changes nothing but these. */
export function wholeHook(
  tensors: readonly WholeTensor[],
  inputs: ParameterInputs,
): Pick<LayerHook, "linears" | "embedding" | "norm"> {
  const whole = wholeNames(tensors);
  const isWhole = ({ path }: LinearModule): boolean =>
    whole.has(`${path}.weight`) || whole.has(`${path}.bias`);
  return {
    linears: (g, group, layers) => {
      if (!group.modules.some(isWhole)) return layers.base(layers.x);
      const parts = layers.parts ?? missingParts(group.name);
      let together: readonly Value[] | null = null;
      const outputs = (): readonly Value[] =>
        (together ??= oneByOne(g, group, layers.base(layers.x)));
      return group.modules.map((module, index) =>
        g.scope(module.path, () =>
          wholeBase(g, module, { whole, inputs, layers, parts, index, outputs })(layers.x),
        ),
      );
    },
    embedding: (g, path, { rows, source }) => {
      const own = whole.get(`${path}.weight`);
      return own === undefined || !source ? rows : g.gather(inputs.in(g, own), source.ids);
    },
    norm: (g, key, { value }) => {
      const own = whole.get(key.endsWith(".bias") ? key : `${key}.weight`);
      return own === undefined ? value : inputs.in(g, own);
    },
  };
}

export function missingParts(path: string): never {
  throw new GraftError(
    "unsupported",
    t("Graft trains checkpoints; {0} is in an ONNX export, which holds it in another form.", path),
  );
}
