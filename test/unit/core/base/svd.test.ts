import assert from "node:assert/strict";
import { test } from "node:test";
import { dot } from "../../../../extension/core/base/matrix.ts";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { singularVectors } from "../../../../extension/core/base/svd.ts";
import { readTruths, type Truth } from "../../../golden/truth.ts";

for (const [rows, columns] of [
  [1, 1],
  [5, 2],
  [2, 5],
  [26, 26],
  [60, 30],
  [30, 60],
] as const) {
  void test(`the parts of a matrix ${rows} × ${columns} add up to it`, () => {
    const random = seededRandom(rows * columns);
    const matrix = Float64Array.from({ length: rows * columns }, () => random() - 0.5);
    const count = Math.min(rows, columns);
    const { values, left, right } = singularVectors(matrix, { rows, columns, count });
    matrix.forEach((value, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      const sum = left.reduce(
        (total, vector, k) =>
          total +
          (values[k] as number) *
            (vector[row] as number) *
            ((right[k] as Float64Array)[column] as number),
        0,
      );
      assert.ok(Math.abs(sum - value) < 1e-13);
    });
    left.forEach((x, i) => {
      left.forEach((y, j) => assert.ok(Math.abs(dot(x, y) - (i === j ? 1 : 0)) < 1e-13));
    });
  });
}

// TinyLoRA stores √s vᵀ as torch computed them: a witness of torch's signs.
void test("vectors have torch's signs, up to a common one", async () => {
  const fixtures = new URL("../../../golden/fixtures/", import.meta.url).pathname;
  const weights = await readTruths(`${fixtures}models/llama/model.safetensors`);
  const stored = await readTruths(`${fixtures}adapters/llama/tinylora/adapter_model.safetensors`);
  for (const [name, { data, shape }] of stored) {
    if (!name.endsWith(".tinylora_A")) continue;
    const path = name.replace(/^base_model\.model\./, "").replace(/\.tinylora_A$/, ".weight");
    const weight = weights.get(path) as Truth;
    const [rows, columns] = weight.shape as [number, number];
    const count = shape[0] as number;
    const numbers = Float64Array.from(weight.data, Number);
    const { values, right } = singularVectors(numbers, { rows, columns, count });
    const cosines = right.map((vector, k) => {
      const truth = Array.from(data.subarray(k * columns, (k + 1) * columns), Number);
      return dot(vector, truth) / Math.sqrt(values[k] as number);
    });
    for (const cosine of cosines) {
      assert.ok(Math.abs(cosine - Math.sign(cosines[0] as number)) < 1e-4, `${path}: ${cosines}`);
    }
  }
});
