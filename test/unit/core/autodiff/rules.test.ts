import { test } from "node:test";
import { int } from "../../../../extension/core/onnx/attributes.ts";
import {
  binary,
  firstColumns,
  keepLargest,
  product,
  reduce,
  unary,
} from "../../../../extension/core/onnx/calculus.ts";
import type { Value } from "../../../../extension/core/onnx/graph.ts";
import { checkGradients, type GradientCase, type Input } from "./check.ts";

const of = (...shape: number[]): Input => ({ shape });
const positive = (...shape: number[]): Input => ({
  shape,
  data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => 0.6 + ((i * 7) % 5) / 4),
});
const ids = (data: number[], shape = [data.length]): Input => ({ shape, data, isInt: true });
const named = (dims: (number | string)[], shape: number[]): Input => ({ dims, shape });

/** Away from where a curve has a corner. */
const apart: Input = { shape: [2, 3], data: [-0.9, -0.3, 0.2, 0.7, -0.7, 0.1] };

const binaries = (["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"] as const).flatMap(
  (op): GradientCase[] =>
    (
      [
        [positive(2, 3), positive(2, 3)],
        [positive(2, 1, 3), positive(4, 1)],
        [named(["batch", "seq", 3], [2, 4, 3]), named(["1|batch", "1|seq", 3], [1, 4, 3])],
      ] as [Input, Input][]
    ).map(([a, b], i) => ({
      name: `${op} ${i}`,
      inputs: {
        a: { ...a, data: positive(...a.shape).data ?? [] },
        b: { ...b, data: (positive(...b.shape).data ?? []).map((each) => each + 0.11) },
      },
      build: (g, x) => binary(g, op, [x["a"] as Value, x["b"] as Value]),
    })),
);

const curves = (
  [
    "Abs",
    "Cos",
    "Erf",
    "Exp",
    "Log",
    "Neg",
    "Reciprocal",
    "Sigmoid",
    "Sin",
    "Sqrt",
    "Tanh",
  ] as const
).map((op): GradientCase => ({
  name: op,
  inputs: { x: positive(2, 3) },
  build: (g, { x }) => unary(g, op, x as Value),
}));

// prettier-ignore
const cases: GradientCase[] = [
  ...binaries,
  ...curves,
  { name: "gelu", inputs: { x: of(3, 4) }, build: (g, { x }) => g.gelu(x as Value) },
  { name: "tanh gelu", inputs: { x: of(3, 4) }, build: (g, { x }) => g.geluTanh(x as Value) },
  { name: "silu", inputs: { x: of(3, 4) }, build: (g, { x }) => g.silu(x as Value) },
  { name: "quick gelu", inputs: { x: of(3, 4) }, build: (g, { x }) => g.quickGelu(x as Value, 1.702) },
  { name: "relu", inputs: { x: apart }, build: (g, { x }) => g.relu(x as Value) },
  { name: "softmax", inputs: { x: of(2, 4) }, build: (g, { x }) => g.softmax(x as Value) },
  { name: "softmax of an inner axis", inputs: { x: of(2, 3, 2) }, build: (g, { x }) => g.softmax(x as Value, 1) },
  { name: "log softmax", inputs: { x: of(2, 4) }, build: (g, { x }) => g.node("LogSoftmax", [x as Value])[0] },
  { name: "log softmax at labels", inputs: { x: of(3, 4), labels: ids([1, 0, 3], [3, 1]) }, build: (g, { x, labels }) => g.node("GatherElements", [g.node("LogSoftmax", [x as Value])[0], labels as Value], { attributes: { axis: int(1) } })[0] },
  { name: "rms norm", inputs: { x: of(2, 3, 4), w: of(4) }, build: (g, { x, w }) => g.rmsNorm(x as Value, w as Value, 1e-5) },
  { name: "rms norm of a sum", inputs: { x: of(2, 3, 4), skip: of(2, 3, 4), w: of(4) }, build: (g, { x, skip, w }) => g.concat(g.addRmsNorm(x as Value, skip as Value, { weight: w as Value, epsilon: 1e-5 }), 2) },
  { name: "layer norm", inputs: { x: of(2, 3, 4), w: of(4), b: of(4) }, build: (g, { x, w, b }) => g.layerNorm(x as Value, { weight: w as Value, bias: b as Value, epsilon: 1e-5 }) },
  { name: "rotary", inputs: { x: of(1, 2, 3, 4), places: ids([2, 0, 1], [1, 3]) }, build: (g, { x, places }) => g.rotary(x as Value, places as Value, { cos: g.float32s("cos", Float32Array.of(1, 0.8, 0.6, 0, 0.1, 0.2), [3, 2]), sin: g.float32s("sin", Float32Array.of(0, 0.6, 0.8, 1, 0.3, 0.5), [3, 2]) }) },
  { name: "product", inputs: { a: of(2, 3), b: of(3, 2) }, build: (g, { a, b }) => g.matMul(a as Value, b as Value) },
  { name: "product with a matrix", inputs: { a: of(2, 2, 3), b: of(3, 2) }, build: (g, { a, b }) => g.matMul(a as Value, b as Value) },
  { name: "product of batches", inputs: { a: of(2, 1, 2, 3), b: of(3, 3, 2) }, build: (g, { a, b }) => g.matMul(a as Value, b as Value) },
  { name: "product of rows' own", inputs: { a: named(["batch", "seq", 3], [2, 2, 3]), b: named(["1|batch", 3, 2], [1, 3, 2]) }, build: (g, { a, b }) => g.matMul(a as Value, b as Value) },
  { name: "product with a vector", inputs: { a: of(2, 2, 3), b: of(3) }, build: (g, { a, b }) => g.matMul(a as Value, b as Value) },
  { name: "product of a vector", inputs: { a: of(3), b: of(2, 3, 2) }, build: (g, { a, b }) => g.matMul(a as Value, b as Value) },
  { name: "product of vectors", inputs: { a: of(3), b: of(3) }, build: (g, { a, b }) => g.matMul(a as Value, b as Value) },
  { name: "a · bᵀ", inputs: { a: named(["batch", "seq", 3], [2, 2, 3]), b: named(["rank", 3], [2, 3]) }, build: (g, { a, b }) => g.matMulTransposed(a as Value, b as Value, 0.5) },
  { name: "aᵀ · b", inputs: { a: of(2, 3, 2), b: of(2, 3, 2) }, build: (g, { a, b }) => product(g, [a as Value, b as Value], { transA: true, alpha: 2 }) },
  { name: "aᵀ · bᵀ", inputs: { a: of(3, 2), b: of(4, 3) }, build: (g, { a, b }) => product(g, [a as Value, b as Value], { transA: true, transB: true }) },
  { name: "inverse", inputs: { x: { shape: [2, 2, 2], data: [2, 0.3, -0.4, 1.5, 1, 0.2, 0.1, -2] } }, build: (g, { x }) => g.node("Inverse", [x as Value], { domain: "com.microsoft" })[0] },
  { name: "gemm", inputs: { a: of(3, 2), b: of(4, 3), c: of(4) }, build: (g, { a, b, c }) => g.node("Gemm", [a as Value, b as Value, c as Value], { attributes: { transA: int(1), transB: int(1) } })[0] },
  { name: "sum", inputs: { x: of(2, 3, 2) }, build: (g, { x }) => reduce(g, "ReduceSum", { x: x as Value, axes: [1], keep: false }) },
  { name: "mean", inputs: { x: of(2, 3, 2) }, build: (g, { x }) => g.mean(x as Value, [0, -1]) },
  { name: "mean over tokens", inputs: { x: named(["batch", "seq", 2], [2, 3, 2]) }, build: (g, { x }) => g.mean(x as Value, [1]) },
  { name: "mean of all", inputs: { x: of(2, 3) }, build: (g, { x }) => g.node("ReduceMean", [x as Value], { attributes: { keepdims: int(0) } })[0] },
  { name: "largest", inputs: { x: of(2, 3, 2) }, build: (g, { x }) => reduce(g, "ReduceMax", { x: x as Value, axes: [1], keep: false }) },
  { name: "smallest", inputs: { x: of(2, 3, 2) }, build: (g, { x }) => reduce(g, "ReduceMin", { x: x as Value, axes: [1] }) },
  { name: "length", inputs: { x: of(3, 2) }, build: (g, { x }) => reduce(g, "ReduceL2", { x: x as Value, axes: [1], keep: false }) },
  { name: "squares", inputs: { x: of(3, 2) }, build: (g, { x }) => reduce(g, "ReduceSumSquare", { x: x as Value, axes: [1] }) },
  { name: "rows", inputs: { x: of(4, 2), at: ids([2, 0, 2]) }, build: (g, { x, at }) => g.gather(x as Value, at as Value) },
  { name: "rows for tokens", inputs: { x: of(4, 2), at: { ...ids([2, 0, 2, 1, 1, -1], [2, 3]), dims: ["batch", "seq"] } }, build: (g, { x, at }) => g.gather(x as Value, at as Value) },
  { name: "one row", inputs: { x: of(4, 2), at: ids([2], []) }, build: (g, { x, at }) => g.gather(x as Value, at as Value) },
  { name: "tokens of rows", inputs: { x: named(["batch", "seq", 2], [2, 3, 2]), at: { ...ids([2, 1]), dims: ["rows"] } }, build: (g, { x, at }) => g.gather(x as Value, at as Value, 1) },
  { name: "columns by matrix", inputs: { x: of(2, 3, 2), at: ids([2, 0, 1, 1], [2, 2]) }, build: (g, { x, at }) => g.gather(x as Value, at as Value, 1) },
  { name: "elements", inputs: { x: of(2, 3), at: ids([2, 2, 0, 1], [2, 2]) }, build: (g, { x, at }) => g.node("GatherElements", [x as Value, at as Value], { attributes: { axis: int(1) } })[0] },
  { name: "elements put", inputs: { x: of(2, 3), at: ids([2, 1, 0, 1], [2, 2]), to: of(2, 2) }, build: (g, { x, at, to }) => g.node("ScatterElements", [x as Value, at as Value, to as Value], { attributes: { axis: int(1) } })[0] },
  { name: "rows put", inputs: { x: of(3, 2), at: ids([2, 1], [2, 1]), to: of(2, 2) }, build: (g, { x, at, to }) => g.node("ScatterND", [x as Value, at as Value, to as Value])[0] },
  { name: "rows by ND", inputs: { x: of(3, 2), at: ids([2, 1, 2], [3, 1]) }, build: (g, { x, at }) => g.node("GatherND", [x as Value, at as Value])[0] },
  { name: "top", inputs: { x: of(2, 4) }, build: (g, { x }) => g.node("TopK", [x as Value, g.int64s([2])], { count: 2 })[0] },
  { name: "keep largest", inputs: { x: of(2, 4) }, build: (g, { x }) => g.softmax(keepLargest(g, x as Value, g.int64s([0, 0]))) },
  { name: "reshape", inputs: { x: named(["batch", "seq", 6], [2, 3, 6]) }, build: (g, { x }) => g.transpose(g.reshape(x as Value, [0, 0, 2, 3]), [0, 2, 1, 3]) },
  { name: "reshape of unclear sizes", inputs: { x: named(["batch", "seq", 6], [2, 3, 6]) }, build: (g, { x }) => g.reshape(x as Value, [-1, 2]) },
  { name: "squeeze", inputs: { x: of(2, 1, 3) }, build: (g, { x }) => g.unsqueeze(g.squeeze(x as Value, 1), 0) },
  { name: "expand", inputs: { x: of(1, 2, 1) }, build: (g, { x }) => g.node("Expand", [x as Value, g.int64s([3, 2, 2])])[0] },
  { name: "rows repeated", inputs: { x: of(1, 2, 3), like: named(["batch"], [2]) }, build: (g, { x, like }) => g.repeatRows(x as Value, like as Value, [2, 3]) },
  { name: "tile", inputs: { x: named(["batch", 2], [3, 2]) }, build: (g, { x }) => g.tile(x as Value, [2, 3]) },
  { name: "concat", inputs: { a: named(["batch", "past", 2], [2, 1, 2]), b: named(["batch", "seq", 2], [2, 3, 2]) }, build: (g, { a, b }) => g.concat([a as Value, b as Value], 1) },
  { name: "concat of known sizes with a constant", inputs: { a: of(2, 2) }, build: (g, { a }) => g.concat([g.float32s("c", new Float32Array(2), [2, 1]), a as Value], -1) },
  { name: "split", inputs: { x: of(2, 6) }, build: (g, { x }) => { const [a, , c] = g.split(x as Value, [2, 3, 1], 1) as [Value, Value, Value]; return g.mul(a, c); } },
  { name: "slice", inputs: { x: named(["batch", "seq", 4], [2, 3, 4]) }, build: (g, { x }) => g.node("Slice", [x as Value, g.int64s([1, 1]), g.int64s([3, 2 ** 31]), g.int64s([2, 1])])[0] },
  { name: "slice backwards", inputs: { x: of(2, 5) }, build: (g, { x }) => g.node("Slice", [x as Value, g.int64s([-1, -3]), g.int64s([-6, 2 ** 31]), g.int64s([1, 0]), g.int64s([-2, 1])])[0] },
  { name: "first columns", inputs: { x: of(2, 5), like: of(3, 1) }, build: (g, { x, like }) => firstColumns(g, x as Value, like as Value) },
  { name: "pad", inputs: { x: named(["batch", 2], [2, 2]) }, build: (g, { x }) => g.node("Pad", [x as Value, g.int64s([0, 1, 2, 0])])[0] },
  { name: "running sum", inputs: { x: of(2, 3) }, build: (g, { x }) => g.node("CumSum", [x as Value, g.int64Scalar(1)])[0] },
  { name: "triangle", inputs: { x: of(3, 3) }, build: (g, { x }) => g.node("Trilu", [x as Value], { attributes: { upper: int(0) } })[0] },
  { name: "where", inputs: { a: apart, b: of(3) }, build: (g, { a, b }) => g.where(g.greater(a as Value, g.scalar(0)), a as Value, g.mul(b as Value, b as Value)) },
  { name: "clip", inputs: { x: apart }, build: (g, { x }) => g.node("Clip", [x as Value, g.scalar(-0.5), g.scalar(0.4)])[0] },
  { name: "several uses", inputs: { x: of(2, 3) }, build: (g, { x }) => [1, 2, 3, 4].reduce<Value>((sum, each) => g.add(sum, g.mul(g.scale(x as Value, each), x as Value)), x as Value) },
];

for (const one of cases) test(`gradient of ${one.name}`, () => checkGradients(one));
