/** Norms over the last axis, and rotation. */
import { binary, reduce, unary } from "../../onnx/calculus.ts";
import { onnxTypes, type Value } from "../../onnx/graph.ts";
import { type Place, type Rule, shared, withoutRule } from "../place.ts";

/** The last axis' size as a number of the graph. */
function widthOf(at: Place): Value {
  const width = at.shape(0)?.at(-1) ?? at.shape(1)?.at(-1);
  if (typeof width === "number") return at.g.scalar(width);
  return at.g.cast(at.g.gather(at.g.shapeOf(at.x(0)), at.g.int64s([-1])), onnxTypes.float32);
}

/** 1 / √(mean of squares + ε) of x's last axis. */
function inverseRms(at: Place, x: Value): Value {
  const { g } = at;
  const squares = reduce(g, "ReduceSumSquare", { x, axes: [-1] });
  const mean = binary(g, "Div", [squares, widthOf(at)]);
  const root = unary(g, "Sqrt", g.add(mean, g.scalar(at.float("epsilon", 1e-5))));
  return unary(g, "Reciprocal", root);
}

/**
 * y = w · x · r with r = 1 / rms(x):
 * dx = r · (w·dy − x · r² / n · Σ w·dy·x), dw = Σ dy · x · r
 */
function rmsParts(
  at: Place,
  { x, weight, dy }: { x: () => Value; weight: number; dy: Value },
): { dx: () => Value; dw: () => Value } {
  const { g } = at;
  const r = shared(() => inverseRms(at, x()));
  const dx = shared(() => {
    const weighted = g.mul(dy, at.x(weight));
    const total = reduce(g, "ReduceSum", { x: g.mul(weighted, x()), axes: [-1] });
    const share = binary(g, "Div", [g.mul(total, g.mul(r(), r())), widthOf(at)]);
    return g.mul(g.sub(weighted, g.mul(x(), share)), r());
  });
  return { dx, dw: () => at.sumTo(weight, g.mul(g.mul(x(), r()), dy)) };
}

const rmsNorm: Rule = (at, dy) => {
  const { dx, dw } = rmsParts(at, { x: () => at.x(0), weight: 1, dy });
  return [dx, dw];
};

/** Both terms get the norm's gradient and that of their sum, which goes on as an output. */
const addRmsNorm: Rule = (at, dy) => {
  const { g } = at;
  const hasSum = at.node.outputs[3] !== undefined && at.node.outputs[3] !== "";
  const own = (): Value => {
    const sum = g.add(at.x(0), at.x(1));
    return at.has(3) ? g.add(sum, at.x(3)) : sum;
  };
  const x = shared(() => (hasSum ? at.y(3) : own()));
  const isNormed = at.dy(0) !== null;
  const { dx, dw } = rmsParts(at, { x, weight: 2, dy });
  const dsum = at.dy(3);
  const both = shared(() => {
    if (!isNormed) return dsum as Value;
    return dsum === null ? dx() : g.add(dx(), dsum);
  });
  return [both, both, isNormed ? dw : null, () => at.sumTo(3, both())];
};

/** dx = r · (g − mean g − h · mean(g·h)) with g = w·dy and h = (x − mean x) · r. */
const layerNorm: Rule = (at, dy) => {
  const { g } = at;
  const axis = at.axis(-1);
  const rank = at.shape(0)?.length;
  if (axis !== -1 && axis !== (rank ?? 0) - 1) throw withoutRule(at, "several axes");
  const mean = (x: Value): Value => reduce(g, "ReduceMean", { x, axes: [-1] });
  const centred = shared(() => g.sub(at.x(0), mean(at.x(0))));
  const r = shared(() => inverseRms(at, centred()));
  const h = shared(() => g.mul(centred(), r()));
  return [
    () => {
      const weighted = g.mul(dy, at.x(1));
      const along = g.mul(h(), mean(g.mul(weighted, h())));
      return g.mul(g.sub(g.sub(weighted, mean(weighted)), along), r());
    },
    () => at.sumTo(1, g.mul(dy, h())),
    () => at.sumTo(2, dy),
  ];
};

/** A rotation back: by the negative angle. */
const rotary: Rule = (at, dy) => [
  () => {
    const { g, node } = at;
    const { domain, attributes } = node;
    const sin = node.inputs[3] as string;
    const back = at.around.once(`negative ${sin}`, () => unary(g, "Neg", at.x(3)));
    return g.node("RotaryEmbedding", [dy, at.x(1), at.x(2), back], { domain, attributes })[0];
  },
];

export const norms: Readonly<Record<string, Rule>> = {
  LayerNormalization: layerNorm,
  RotaryEmbedding: rotary,
  SimplifiedLayerNormalization: rmsNorm,
  SkipSimplifiedLayerNormalization: addRmsNorm,
};
