/** Products of matrices. No transposed copy is made: the kernels read their factors either way. */
import { product } from "../../onnx/calculus.ts";
import type { Dimension } from "../../onnx/dimensions.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { sumTo } from "../broadcast.ts";
import { type Part, type Place, type Rule, withoutRule } from "../place.ts";

interface Product {
  readonly transA: boolean;
  readonly transB: boolean;
  readonly alpha: number;
}

const plain: Product = { transA: false, transB: false, alpha: 1 };

const fused: Rule = (at, dy) => {
  const flag = (name: string): boolean => at.int(name, 0) === 1;
  if (flag("transBatchA") || flag("transBatchB")) {
    throw withoutRule(at, "transBatchA / transBatchB");
  }
  const own = { transA: flag("transA"), transB: flag("transB"), alpha: at.float("alpha", 1) };
  return bothFactors(at, dy, own);
};

const matMul: Rule = (at, dy) => {
  const isVector = [0, 1].map((i) => at.shape(i)?.length === 1);
  return isVector.includes(true) ? ofVectors(at, dy, isVector) : bothFactors(at, dy, plain);
};

const gemm: Rule = (at, dy) => {
  const own = {
    transA: at.int("transA", 0) === 1,
    transB: at.int("transB", 0) === 1,
    alpha: at.float("alpha", 1),
  };
  const added = (): Value => at.g.scale(at.sumTo(2, dy), at.float("beta", 1));
  return [...bothFactors(at, dy, own), added];
};

function bothFactors(at: Place, dy: Value, own: Product): Part[] {
  return [() => firstFactor(at, dy, own), () => secondFactor(at, dy, own)];
}

/** d op(a) = dy · op(b)ᵀ, transposed where a lies transposed. */
function firstFactor(at: Place, dy: Value, { transA, transB, alpha }: Product): Value {
  const b = at.x(1);
  const full = transA
    ? product(at.g, [b, dy], { transA: transB, transB: true, alpha })
    : product(at.g, [dy, b], { transB: !transB, alpha });
  return ofBatches(at, 0, full);
}

/** d op(b) = op(a)ᵀ · dy, transposed where b lies transposed. */
function secondFactor(at: Place, dy: Value, { transA, transB, alpha }: Product): Value {
  const { g } = at;
  const [first, second] = [at.shape(0), at.shape(1)];
  // One matrix for all batches takes the rows of all batches at once.
  const isFlat = first !== null && first.length > 2 && second?.length === 2 && !transA;
  const a = isFlat ? asRows(g, at.x(0), first) : at.x(0);
  const d = isFlat ? asRows(g, dy, at.outputShape()) : dy;
  const full = transB
    ? product(g, [d, a], { transA: true, transB: transA, alpha })
    : product(g, [a, d], { transA: !transA, alpha });
  return isFlat ? full : ofBatches(at, 1, full);
}

/** [..., width] as [rows, width]. */
function asRows(g: GraphBuilder, x: Value, shape: readonly Dimension[] | null): Value {
  const width = shape?.at(-1);
  if (typeof width === "number") return g.reshape(x, [-1, width]);
  const last = g.gather(g.shapeOf(x), g.int64s([-1]));
  return g.reshapeTo(x, g.concat([g.int64s([-1]), last], 0));
}

/** Sums a factor's gradient over batches that the factor is shared by. */
function ofBatches(at: Place, i: number, full: Value): Value {
  const [own, made] = [at.shape(i), at.outputShape()];
  const from = own && made && [...made.slice(0, -2), ...own.slice(-2)];
  return sumTo(at.g, full, { from, to: own, like: () => at.x(i) });
}

/** Products with vectors, which are rows on the left and columns on the right. */
function ofVectors(at: Place, dy: Value, [isRow, isColumn]: readonly boolean[]): Part[] {
  const { g } = at;
  const spread = (x: Value, axes: readonly number[]): Value =>
    axes.length === 0 ? x : g.node("Unsqueeze", [x, g.int64s(axes)])[0];
  const row = (): Value => (isRow ? g.reshape(at.x(0), [1, -1]) : at.x(0));
  const column = (): Value => (isColumn ? g.reshape(at.x(1), [-1, 1]) : at.x(1));
  const d = spread(dy, [...(isRow ? [-2] : []), ...(isColumn ? [-1] : [])].slice(0, 2));
  const like = (i: number, made: Value): Value => {
    const isOwn = i === 0 ? isRow : isColumn;
    const gone = isOwn ? g.squeeze(made, i === 0 ? -2 : -1) : made;
    const [own, output] = [at.shape(i) as readonly Dimension[], at.outputShape()];
    const batches = output && output.slice(0, output.length - (isRow || isColumn ? 1 : 2));
    const from = batches && [
      ...batches.slice(0, isRow && isColumn ? 0 : undefined),
      ...own.slice(isOwn ? -1 : -2),
    ];
    return sumTo(g, gone, { from, to: own, like: () => at.x(i) });
  };
  return [
    () => like(0, product(g, [d, column()], { transB: true })),
    () => like(1, product(g, [row(), d], { transA: true })),
  ];
}

/** Y = X⁻¹: dX = −Yᵀ · dY · Yᵀ. */
const inverse: Rule = (at, dy) => [
  () => {
    const { g } = at;
    const left = product(g, [at.y(), dy], { transA: true, alpha: -1 });
    return product(g, [left, at.y()], { transB: true });
  },
];

export const products: Readonly<Record<string, Rule>> = {
  FusedMatMul: fused,
  Gemm: gemm,
  Inverse: inverse,
  MatMul: matMul,
};
