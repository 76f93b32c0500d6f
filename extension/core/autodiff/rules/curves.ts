/** Functions of one number. Slopes are written with the function's own value where that saves work. */
import { binary, unary } from "../../onnx/calculus.ts";
import { onnxTypes, type Value } from "../../onnx/graph.ts";
import type { Place, Rule } from "../place.ts";

/** dy times the slope. */
function slope(of: (at: Place) => Value): Rule {
  return (at, dy) => [() => at.g.mul(dy, of(at))];
}

/** x · sigmoid(a·x) = y has the slope s + a · (y − y·s). */
const quickGelu: Rule = slope((at) => {
  const { g } = at;
  const alpha = at.float("alpha", 1.702);
  const s = unary(g, "Sigmoid", g.scale(at.x(0), alpha));
  const rest = g.sub(at.y(), g.mul(at.y(), s));
  return g.add(s, g.scale(rest, alpha));
});

/** x · Φ(x) has the slope Φ(x) + x · φ(x). */
function geluSlope(at: Place, x: Value): Value {
  const { g } = at;
  const erf = unary(g, "Erf", g.scale(x, Math.SQRT1_2));
  const cumulative = g.scale(g.add(erf, g.scalar(1)), 0.5);
  const density = unary(g, "Exp", g.scale(g.mul(x, x), -0.5));
  return g.add(cumulative, g.scale(g.mul(x, density), 1 / Math.sqrt(2 * Math.PI)));
}

const [inner, cubic] = [Math.sqrt(2 / Math.PI), 0.044715];

/** x · (1 + t) / 2 with t = tanh(u), u = √(2/π) · (x + 0.044715 x³). */
function tanhGeluSlope({ g }: Place, x: Value): Value {
  const squared = g.mul(x, x);
  // u = x · (a + b x²), u' = a + 3b x²
  const u = g.mul(x, g.add(g.scale(squared, inner * cubic), g.scalar(inner)));
  const t = g.tanh(u);
  const steep = g.add(g.scale(squared, 3 * inner * cubic), g.scalar(inner));
  const flat = g.sub(g.scalar(1), g.mul(t, t));
  const sum = g.add(g.add(t, g.scalar(1)), g.mul(g.mul(x, flat), steep));
  return g.scale(sum, 0.5);
}

/** A curve of x + bias, where there is a bias. */
function biased(of: (at: Place, x: Value) => Value): Rule {
  return (at, dy) => {
    const { g } = at;
    const x = (): Value => (at.has(1) ? g.add(at.x(0), at.x(1)) : at.x(0));
    let made: Value | undefined;
    const dx = (): Value => (made ??= g.mul(dy, of(at, x())));
    return [dx, () => at.sumTo(1, dx())];
  };
}

const gelu: Rule = (at, dy) => {
  const { attributes } = at.node;
  const kind = attributes["approximate"];
  const isTanh = kind?.kind === "string" && kind.value === "tanh";
  return biased(isTanh ? tanhGeluSlope : geluSlope)(at, dy);
};

const number = (at: Place, x: Value): Value => at.g.cast(x, onnxTypes.float32);

export const curves: Readonly<Record<string, Rule>> = {
  Abs: slope((at) => unary(at.g, "Sign", at.x(0))),
  BiasGelu: gelu,
  Cos: slope((at) => unary(at.g, "Neg", at.g.sin(at.x(0)))),
  Erf: slope((at) => {
    const density = unary(at.g, "Exp", unary(at.g, "Neg", at.g.mul(at.x(0), at.x(0))));
    return at.g.scale(density, 2 / Math.sqrt(Math.PI));
  }),
  Exp: slope((at) => at.y()),
  FastGelu: biased(tanhGeluSlope),
  Gelu: gelu,
  LeakyRelu: slope((at) => {
    const { g } = at;
    const isPositive = g.greater(at.x(0), g.scalar(0));
    return g.where(isPositive, g.scalar(1), g.scalar(at.float("alpha", 0.01)));
  }),
  Log: (at, dy) => [() => binary(at.g, "Div", [dy, at.x(0)])],
  QuickGelu: quickGelu,
  Reciprocal: slope((at) => unary(at.g, "Neg", at.g.mul(at.y(), at.y()))),
  Relu: slope((at) => number(at, at.g.greater(at.y(), at.g.scalar(0)))),
  Sigmoid: slope((at) => at.g.sub(at.y(), at.g.mul(at.y(), at.y()))),
  Sin: slope((at) => at.g.cos(at.x(0))),
  Softplus: slope((at) => at.g.sigmoid(at.x(0))),
  Sqrt: (at, dy) => [() => binary(at.g, "Div", [at.g.scale(dy, 0.5), at.y()])],
  Tanh: slope((at) => at.g.sub(at.g.scalar(1), at.g.mul(at.y(), at.y()))),
};
