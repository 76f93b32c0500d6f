import type { ActivationName } from "../../base/activations.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import { binary, unary } from "../../onnx/calculus.ts";
import type { Value } from "../../onnx/graph.ts";

type Curve = (g: GraphBuilder, x: Value) => Value;

const clip = (g: GraphBuilder, x: Value, [low, high]: readonly [number, number]): Value =>
  g.node("Clip", [x, g.scalar(low), g.scalar(high)])[0];
const softplus: Curve = (g, x) => g.node("Softplus", [x])[0];
const gelu: Curve = (g, x) => g.gelu(x);
const geluTanh: Curve = (g, x) => g.geluTanh(x);
const silu: Curve = (g, x) => g.silu(x);
/** x above 0, a part of it below. */
const leaky =
  (slope: number): Curve =>
  (g, x) =>
    g.where(g.greater(x, g.scalar(0)), x, g.scale(x, slope));

/** `base/activations.ts` in a graph. */
const curves: Readonly<Record<ActivationName, Curve>> = {
  gelu,
  gelu_10: (g, x) => clip(g, gelu(g, x), [-10, 10]),
  gelu_accurate: geluTanh,
  gelu_fast: geluTanh,
  gelu_new: geluTanh,
  gelu_python: gelu,
  gelu_python_tanh: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  hardswish: (g, x) => g.scale(g.mul(x, clip(g, g.add(x, g.scalar(3)), [0, 6])), 1 / 6),
  laplace: (g, x) => {
    const scaled = g.scale(g.sub(x, g.scalar(0.707107)), 1 / (0.282095 * Math.SQRT2));
    return g.scale(g.add(unary(g, "Erf", scaled), g.scalar(1)), 0.5);
  },
  leaky_relu: leaky(0.01),
  linear: (_g, x) => x,
  mish: (g, x) => g.mul(x, g.tanh(softplus(g, x))),
  prelu: leaky(0.25),
  quick_gelu: (g, x) => g.quickGelu(x, 1.702),
  relu: (g, x) => g.relu(x),
  relu2: (g, x) => {
    const own = g.relu(x);
    return g.mul(own, own);
  },
  relu6: (g, x) => binary(g, "Min", [g.relu(x), g.scalar(6)]),
  sigmoid: (g, x) => g.sigmoid(x),
  silu,
  sqrtsoftplus: (g, x) => unary(g, "Sqrt", softplus(g, x)),
  swish: silu,
  tanh: (g, x) => g.tanh(x),
};

/** An activation by its name in Hugging Face configs. */
export function activation(g: GraphBuilder, name: ActivationName, x: Value): Value {
  return curves[name](g, x);
}
