import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import { keepLargest } from "../../../../extension/core/onnx/calculus.ts";
import { onnxTypes, type Value } from "../../../../extension/core/onnx/graph.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
} from "../../../../extension/core/session/ortSession.ts";
import { difference } from "../support.ts";

type Constant = (data: number[], shape: number[]) => Value;

interface Case {
  op: string;
  /** The input and its shape; [1, 2, 3, 4, 5, 6] as [2, 3] when absent. */
  x?: [data: number[], shape: number[]];
  build: (g: GraphBuilder, x: Value, constant: Constant) => Value;
  expected: number[];
}

/** Each operator of the builder with numbers worked out by hand: names and attributes are right. */
// prettier-ignore
const cases: Case[] = [
  { op: "add", build: (g, x, c) => g.add(x, c([10, 20, 30], [3])), expected: [11, 22, 33, 14, 25, 36] },
  { op: "mul", build: (g, x, c) => g.mul(x, c([1, 0, -1], [3])), expected: [1, 0, -3, 4, 0, -6] },
  { op: "sub", build: (g, x, c) => g.sub(x, c([1, 2, 3], [3])), expected: [0, 0, 0, 3, 3, 3] },
  { op: "max", build: (g, x, c) => g.max(x, c([3, 3, 3], [3])), expected: [3, 3, 3, 4, 5, 6] },
  { op: "mean", build: (g, x) => g.mean(x, [0]), expected: [2.5, 3.5, 4.5] },
  { op: "keepLargest", x: [[1, 3, 2, 9, 8, 7], [2, 3]], build: (g, x, c) => g.softmax(keepLargest(g, x, c([0, 0], [2]))), expected: [0, 1 / (1 + Math.exp(-1)), 1 / (1 + Math.E), 1 / (1 + Math.exp(-1)), 1 / (1 + Math.E), 0] },
  { op: "matMul", build: (g, x, c) => g.matMul(x, c([1, 0, 2], [3, 1])), expected: [7, 16] },
  { op: "matMulTransposed", build: (g, x, c) => g.matMulTransposed(x, c([1, 0, 2, 0, 1, 0], [2, 3]), 0.5), expected: [3.5, 1, 8, 2.5] },
  { op: "concat", build: (g, x, c) => g.concat([x, c([7, 8], [2, 1])], 1), expected: [1, 2, 3, 7, 4, 5, 6, 8] },
  { op: "concat of one", build: (g, x) => g.concat([x], 1), expected: [1, 2, 3, 4, 5, 6] },
  { op: "split", build: (g, x) => g.split(x, [1, 2], 1)[1] as Value, expected: [2, 3, 5, 6] },
  { op: "split into one", build: (g, x) => g.split(x, [3], 1)[0] as Value, expected: [1, 2, 3, 4, 5, 6] },
  { op: "splitBy", build: (g, x) => g.splitBy(x, g.int64s([2, 1]), { parts: 2, axis: 1 })[1] as Value, expected: [3, 6] },
  { op: "reshape and transpose", build: (g, x) => g.transpose(g.reshape(x, [0, -1, 1]), [1, 0, 2]), expected: [1, 4, 2, 5, 3, 6] },
  { op: "unsqueeze", build: (g, x, c) => g.mul(g.unsqueeze(x, 2), c([1, 10], [2])), expected: [1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60] },
  { op: "gather columns", build: (g, x) => g.gather(x, g.int64s([2, 0]), 1), expected: [3, 1, 6, 4] },
  { op: "cast", x: [[1.75, -1.75], [2]], build: (g, x) => g.cast(g.cast(x, onnxTypes.int32), onnxTypes.float32), expected: [1, -1] },
  { op: "softmax", x: [[0, Math.log(3), -3.4e38], [3]], build: (g, x) => g.softmax(x), expected: [0.25, 0.75, 0] },
  { op: "silu", x: [[0, 1, -2], [3]], build: (g, x) => g.silu(x), expected: [0, 1 / (1 + Math.exp(-1)), -2 / (1 + Math.exp(2))] },
  { op: "rmsNorm", x: [[3, 4, 0, 0], [2, 2]], build: (g, x, c) => g.rmsNorm(x, c([1, 2], [2]), 0.5), expected: [3 / Math.sqrt(13), 8 / Math.sqrt(13), 0, 0] },
  { op: "addRmsNorm", x: [[1, 2], [1, 1, 2]], build: (g, x, c) => g.concat(g.addRmsNorm(x, c([2, 2], [1, 1, 2]), { weight: c([1, 2], [2]), epsilon: 0.5 }), 2), expected: [3 / Math.sqrt(13), 8 / Math.sqrt(13), 3, 4] },
  { op: "rotary", x: [[1, 2, 3, 4, 1, 2, 3, 4], [1, 1, 2, 4]], build: (g, x, c) => g.rotary(x, g.unsqueeze(g.int64s([1, 0]), 0), { cos: c([1, 1, 0, 0], [2, 2]), sin: c([0, 0, 1, 1], [2, 2]) }), expected: [-3, -4, 1, 2, 1, 2, 3, 4] },
];

for (const {
  op,
  x: [data, shape] = [
    [1, 2, 3, 4, 5, 6],
    [2, 3],
  ],
  build,
  expected,
} of cases) {
  test(`${op} in ONNX Runtime`, async (t) => {
    const g = new GraphBuilder();
    let constants = 0;
    const x = g.input("x", "float32", shape);
    const y = build(g, x, (values, size) =>
      g.float32s(`c${constants++}`, Float32Array.from(values), size),
    );
    g.output(g.reshape(y, [-1]), "y", "float32", ["n"]);
    const session = await OrtSession.create(g.build("test"));
    t.after(() => session.dispose());
    const result = await session.run({ x: float32Tensor(Float32Array.from(data), shape) });
    const values = result["y"]?.data as Float32Array;
    assert(difference(values, expected) < 1e-6, `${[...values]} instead of ${expected}`);
  });
}

test("sizes that a run chooses: dimensions by name, 0 rows, integers as input", async (t) => {
  const g = new GraphBuilder();
  const table = g.input("table", "float32", ["rows", 2]);
  g.output(g.gather(table, g.input("ids", "int64", ["n"])), "y", "float32", ["n", 2]);
  const session = await OrtSession.create(g.build("gather"));
  t.after(() => session.dispose());
  assert.deepEqual(session.inputNames, ["table", "ids"]);
  const tableTensor = float32Tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
  for (const [ids, expected] of [
    [
      [1, 0, 1],
      [3, 4, 1, 2, 3, 4],
    ],
    [[], []],
  ] as [number[], number[]][]) {
    const { y } = await session.run({ table: tableTensor, ids: int64Tensor(ids, [ids.length]) });
    assert.deepEqual([...(y?.data as Float32Array)], expected);
    assert.deepEqual(y?.dims, [ids.length, 2]);
  }
});

test("nodes are named after their scope, each once", () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [1]);
  g.scope("model.a", () => {
    g.add(x, x);
    g.scope("model.a.b", () => g.mul(x, x));
    g.add(x, x);
    g.splitBy(x, g.int64s([1, 0]), { parts: 2, axis: 0 });
  });
  g.add(x, x);
  const { nodes } = g.build("test");
  assert.deepEqual(
    nodes.map(({ name }) => name),
    ["model.a/Add", "model.a.b/Mul", "model.a/Add_1", "model.a/Split", "Add"],
  );
  const outputs = nodes.flatMap((node) => node.outputs);
  assert.equal(new Set(outputs).size, outputs.length);
});

test("a scope ends although its body fails", () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [1]);
  assert.throws(() => g.scope("model.a", () => assert.fail()));
  g.add(x, x);
  assert.equal(g.build("test").nodes[0]?.name, "Add");
});

test("a constant asked for twice is one", () => {
  const g = new GraphBuilder();
  const weight = (): Value =>
    g.initializer("w", "float32", [1], { kind: "inline", bytes: new Uint8Array(4) });
  assert.equal(weight(), weight());
  assert.equal(g.int64s([1, 2]), g.int64s([1, 2]));
  const distinct = [g.int64s([12]), g.int64s([1, 2]), g.int64s([-1, 2]), g.int64s([])];
  assert.equal(new Set(distinct).size, distinct.length);
  assert.equal(g.build("test").initializers.length, 5);
});

test("a constant whose values do not fill its shape is an error", () => {
  assert.throws(() => new GraphBuilder().float32s("c", new Float32Array(3), [2, 2]), /c: shape/);
});
