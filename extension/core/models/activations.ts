import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import type { GraphBuilder } from "../onnx/builder.ts";
import type { Value } from "../onnx/graph.ts";

export type Activation = (g: GraphBuilder, x: Value) => Value;

const tanhGelu: Activation = (g, x) => g.geluTanh(x);
const newGelu: Activation = (g, x) => g.geluTanh(x, "power");
const fastGelu: Activation = (g, x) => g.geluTanh(x, "product");
const silu: Activation = (g, x) => g.silu(x);

/** The names that `hidden_act` may have (transformers' activations.ACT2FN). */
const activations: Readonly<Record<string, Activation>> = {
  silu,
  swish: silu,
  gelu: (g, x) => g.gelu(x),
  gelu_python: (g, x) => g.gelu(x),
  gelu_new: newGelu,
  gelu_fast: fastGelu,
  gelu_pytorch_tanh: tanhGelu,
  gelu_python_tanh: tanhGelu,
  gelu_accurate: newGelu,
  quick_gelu: (g, x) => g.quickGelu(x, 1.702),
  relu: (g, x) => g.relu(x),
  relu2: (g, x) => {
    const positive = g.relu(x);
    return g.mul(positive, positive);
  },
  sigmoid: (g, x) => g.sigmoid(x),
  tanh: (g, x) => g.tanh(x),
  linear: (_g, x) => x,
};

/**
 * What a name in config.json computes.
 * @throws unsupported for a name that Graft does not know
 */
export function activationOf(name: string, { file }: { file: string }): Activation {
  if (Object.hasOwn(activations, name)) return activations[name] as Activation;
  throw unsupported(
    t('{0}: Graft does not know the activation "{1}"', file, name),
    t("It knows {0}.", Object.keys(activations).join(", ")),
  );
}
