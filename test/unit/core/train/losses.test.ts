import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
  type Tensor,
} from "../../../../extension/core/session/ortSession.ts";
import { type LossKind, lossOf } from "../../../../extension/core/train/losses.ts";

const logits = [0.5, -1, 2, 0.1, 90, -90];
const weights = Float32Array.of(0.5, 0.25);

async function run(
  kind: LossKind,
  labels: Tensor,
): Promise<{ value: number; gradient: Float32Array }> {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["rows", 3]);
  const shape = ["rows", "width"].slice(0, labels.dims.length);
  const y = g.input("y", kind === "choice" ? "int64" : "float32", shape);
  const w = g.input("w", "float32", ["rows"]);
  const { value, gradient } = lossOf(g, kind, { logits: x, labels: y, weights: w });
  g.output(value, "value", "float32", []);
  g.output(gradient, "gradient", "float32", ["rows", 3]);
  const session = await OrtSession.create(g.build("loss"), { threads: 1 });
  const rows = float32Tensor(Float32Array.from(logits), [2, 3]);
  const out = await session.run({ x: rows, y: labels, w: float32Tensor(weights, [2]) });
  await session.dispose();
  return {
    value: (out["value"]?.data as Float32Array)[0] as number,
    gradient: out["gradient"]?.data as Float32Array,
  };
}

/** Σ over rows of weight · term, where a row's term is the sum of its columns' (a choice) or their mean. */
function weighted(term: (i: number) => number, columns: number): number {
  const row = (at: number): number => (term(at) + term(at + 1) + term(at + 2)) / columns;
  return 0.5 * row(0) + 0.25 * row(3);
}

const binary = [1, 0, 1, 0, 0, 1];

const cases: [LossKind, Tensor, (x: readonly number[]) => number][] = [
  [
    "choice",
    int64Tensor([2, 1], [2]),
    (x) => {
      const row = (at: number, label: number): number => {
        const own = x.slice(at, at + 3);
        const most = Math.max(...own);
        const sum = own.reduce((all, each) => all + Math.exp(each - most), 0);
        return most + Math.log(sum) - (own[label] as number);
      };
      return 0.5 * row(0, 2) + 0.25 * row(3, 1);
    },
  ],
  [
    "numbers",
    float32Tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]),
    (x) => weighted((i) => ((x[i] as number) - (i + 1)) ** 2, 3),
  ],
  [
    "choices",
    float32Tensor(Float32Array.from(binary), [2, 3]),
    (x) =>
      weighted((i) => {
        const z = x[i] as number;
        return Math.max(z, 0) - z * (binary[i] as number) + Math.log1p(Math.exp(-Math.abs(z)));
      }, 3),
  ],
];

for (const [kind, labels, formula] of cases) {
  void test(`the loss "${kind}" and its derivative are the formula's, far values included`, async () => {
    const { value, gradient } = await run(kind, labels);
    assert.ok(Math.abs(value - formula(logits)) < 1e-4 * Math.max(1, Math.abs(value)));
    const step = 1e-4;
    gradient.forEach((own, i) => {
      const at = (change: number): number =>
        formula(logits.map((each, k) => (k === i ? each + change : each)));
      const expected = (at(step) - at(-step)) / (2 * step);
      const isClose = Math.abs(own - expected) < 1e-3 * Math.max(1, Math.abs(expected));
      assert.ok(isClose, `${i}: ${own} is not ${expected}`);
    });
  });
}
