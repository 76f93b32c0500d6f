/** Operators that pick entries by number, and those that put them somewhere. */
import { scatterAdd, filled } from "../../onnx/calculus.ts";
import type { Value } from "../../onnx/graph.ts";
import { int, text } from "../../onnx/attributes.ts";
import { type Place, type Rule, withoutRule } from "../place.ts";
import { along } from "./layout.ts";

/** Rows go back to where they were picked; a row that was picked twice gets both. */
const gather: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const [shape, ids] = [at.shape(0), at.shape(1)];
    if (!shape || !ids) throw withoutRule(at, "an unknown number of axes");
    const axis = at.axis(0);
    const flat = ids.length === 1 ? at.x(1) : g.reshape(at.x(1), [-1]);
    const rows = ids.length === 1 ? dy : withOneAxis(at, dy, { axis, ids: ids.length });
    const size = { ids: flat, like: rows, axis, rank: shape.length };
    return scatterAdd(g, at.zeros(0), { ...along(g, size), axis });
  },
];

/** Axes of the numbers, which stand in the place of `axis`, as one. */
function withOneAxis(at: Place, dy: Value, { axis, ids }: { axis: number; ids: number }): Value {
  const { g } = at;
  const shape = at.outputShape();
  const fixed = shape?.toSpliced(axis, ids, -1);
  const sizes = fixed?.map((size, i) => (typeof size === "number" ? size : i < axis ? 0 : null));
  if (sizes && !sizes.includes(null)) return g.reshape(dy, sizes as number[]);
  const own = g.shapeOf(at.x(0));
  const part = (from: number, to: number): Value =>
    g.node("Slice", [own, g.int64s([from]), g.int64s([to])])[0];
  return g.reshapeTo(dy, g.concat([part(0, axis), g.int64s([-1]), part(axis + 1, 2 ** 31)], 0));
}

/** Zeros but for what was picked; whoever sums them up looks at that alone. */
const gatherElements: Rule = (at, dy) => [
  () => {
    const axis = at.axis(0);
    const sparse = { ids: at.x(1), updates: dy, axis };
    const dx = scatterAdd(at.g, at.zeros(0), sparse);
    at.around.scattered.set(dx, sparse);
    return dx;
  },
];

const topK: Rule = (at, dy) => [
  () => scatterAdd(at.g, at.zeros(0), { ids: at.y(1), updates: dy, axis: at.axis(-1) }),
];

const scatterElements: Rule = (at, dy) => {
  const { g, node } = at;
  const { attributes } = node;
  const adds = addsUp(at);
  return [
    () => {
      if (adds) return dy;
      const nothing = filled(g, 0, g.shapeOf(at.x(2)));
      return g.node("ScatterElements", [dy, at.x(1), nothing], { attributes })[0];
    },
    null,
    () => {
      const own = { axis: int(at.axis(0)) };
      return g.node("GatherElements", [dy, at.x(1)], { attributes: own })[0];
    },
  ];
};

const scatterND: Rule = (at, dy) => {
  const { g } = at;
  const adds = addsUp(at);
  return [
    () => {
      if (adds) return dy;
      return g.node("ScatterND", [dy, at.x(1), filled(g, 0, g.shapeOf(at.x(2)))])[0];
    },
    null,
    () => g.node("GatherND", [dy, at.x(1)])[0],
  ];
};

function addsUp(at: Place): boolean {
  const reduction = at.text("reduction", "none");
  if (reduction !== "none" && reduction !== "add") throw withoutRule(at, reduction);
  return reduction === "add";
}

const gatherND: Rule = (at, dy) => [
  () => {
    if (at.int("batch_dims", 0) !== 0) throw withoutRule(at, "batch_dims");
    const attributes = { reduction: text("add") };
    return at.g.node("ScatterND", [at.zeros(0), at.x(1), dy], { attributes })[0];
  },
];

export const picking: Readonly<Record<string, Rule>> = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  TopK: topK,
};
