/** Sums, products and choices of values that are broadcast. */
import { binary, unary } from "../../onnx/calculus.ts";
import { onnxTypes, type Value } from "../../onnx/graph.ts";
import type { Part, Rule } from "../place.ts";

const add: Rule = (at, dy) => at.node.inputs.map((_, i) => () => at.sumTo(i, dy));

const sub: Rule = (at, dy) => [() => at.sumTo(0, dy), () => unary(at.g, "Neg", at.sumTo(1, dy))];

const mul: Rule = (at, dy) => [
  () => at.sumTo(0, at.g.mul(dy, at.x(1))),
  () => at.sumTo(1, at.g.mul(dy, at.x(0))),
];

const div: Rule = (at, dy) => {
  const { g } = at;
  const quotient = (): Value => binary(g, "Div", [dy, at.x(1)]);
  return [
    () => at.sumTo(0, quotient()),
    // d(a / b) / db = -(a / b) / b
    () => unary(g, "Neg", at.sumTo(1, g.mul(quotient(), at.y()))),
  ];
};

const pow: Rule = (at, dy) => {
  const { g } = at;
  return [
    () => {
      const less = g.sub(at.x(1), g.scalar(1));
      const slope = g.mul(at.x(1), binary(g, "Pow", [at.x(0), less]));
      return at.sumTo(0, g.mul(dy, slope));
    },
    () => {
      // As torch: where a power of zero is zero, its exponent changes nothing.
      const isZero = binary(g, "Equal", [at.x(0), g.scalar(0)]);
      const slope = g.mul(at.y(), unary(g, "Log", at.x(0)));
      return at.sumTo(1, g.mul(dy, g.where(isZero, g.scalar(0), slope)));
    },
  ];
};

/** The larger (or smaller) one gets all; equal ones share, as in torch. */
const extreme: Rule = (at, dy) => {
  const { g } = at;
  const part = (i: number): Part => {
    return () => {
      const isOwn = at.node.inputs.map((_, j) =>
        g.cast(binary(g, "Equal", [at.x(j), at.y()]), onnxTypes.float32),
      );
      const count = isOwn.slice(1).reduce((sum, each) => g.add(sum, each), isOwn[0] as Value);
      return at.sumTo(i, binary(g, "Div", [g.mul(dy, isOwn[i] as Value), count]));
    };
  };
  return at.node.inputs.map((_, i) => part(i));
};

const where: Rule = (at, dy) => {
  const nothing = at.g.scalar(0);
  return [
    null,
    () => at.sumTo(1, at.g.where(at.x(0), dy, nothing)),
    () => at.sumTo(2, at.g.where(at.x(0), nothing, dy)),
  ];
};

/** Nothing comes through where a bound took the value's place; at a bound itself it does, as in torch. */
const clip: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const inside: Value[] = [];
    if (at.has(1)) inside.push(binary(g, "GreaterOrEqual", [at.x(0), at.x(1)]));
    if (at.has(2)) inside.push(binary(g, "LessOrEqual", [at.x(0), at.x(2)]));
    const [first, second] = inside;
    if (first === undefined) return dy;
    const isInside = second === undefined ? first : g.and(first, second);
    return g.where(isInside, dy, g.scalar(0));
  },
];

/** A copy, or another type of the same numbers. */
const same: Rule = (_at, dy) => [() => dy];

const cast: Rule = (at, dy) => [
  () => (at.type(0) === at.outputType() ? dy : at.g.cast(dy, onnxTypes[at.type(0)])),
];

export const arithmetic: Readonly<Record<string, Rule>> = {
  Add: add,
  Cast: cast,
  Clip: clip,
  Div: div,
  Identity: same,
  Max: extreme,
  Min: extreme,
  Mul: mul,
  Neg: (at, dy) => [() => unary(at.g, "Neg", dy)],
  Pow: pow,
  Sub: sub,
  Sum: add,
  Where: where,
};
