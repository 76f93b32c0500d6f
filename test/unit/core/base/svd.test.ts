import assert from "node:assert/strict";
import { test } from "node:test";
import { dot } from "../../../../extension/core/base/matrix.ts";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { patientSingularVectors, singularVectors } from "../../../../extension/core/base/svd.ts";
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

void test("of a large bidiagonal the wanted directions alone are found, with the same signs", async () => {
  for (const [rows, columns] of [
    [90, 90],
    [120, 70],
    [70, 120],
  ] as const) {
    const random = seededRandom(rows);
    // Directions of which each is a tenth smaller than the one before, and noise.
    const matrix = Float64Array.from({ length: rows * columns }, () => 0.01 * (random() - 0.5));
    for (let k = 0; k < 12; k++) {
      const [x, y] = [rows, columns].map((length) =>
        Float64Array.from({ length }, () => random() - 0.5),
      ) as [Float64Array, Float64Array];
      matrix.forEach((value, i) => {
        const term = (x[Math.floor(i / columns)] as number) * (y[i % columns] as number);
        matrix[i] = value + 0.9 ** k * term;
      });
    }
    const request = { rows, columns, count: 8 };
    const all = singularVectors(matrix, request);
    const some = await patientSingularVectors(matrix, { ...request, largest: 30 });
    // Signs are those of all vectors but for one that they share.
    const common = Math.sign(dot(all.left[0] as Float64Array, some.left[0] as Float64Array));
    all.values.forEach((value, k) => {
      assert.ok(Math.abs(value - (some.values[k] as number)) < 1e-9);
      for (const side of ["left", "right"] as const) {
        const [one, other] = [all[side][k], some[side][k]] as [Float64Array, Float64Array];
        one.forEach((entry, i) =>
          assert.ok(Math.abs(entry - common * (other[i] as number)) < 1e-7),
        );
      }
    });
  }
});

void test("a decomposition can be stopped", async () => {
  const matrix = new Float64Array(600 * 600).map((_, i) => Math.sin(i * i));
  const stop = AbortSignal.abort();
  const request = { rows: 600, columns: 600, count: 2 };
  await assert.rejects(patientSingularVectors(matrix, request, stop), { code: "cancelled" });
});

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

// torch.linalg.svd of sin(1.3 i² + 0.5): signs of the left vectors in the first row.
for (const [rows, columns, truth] of [
  [16, 12, "---+-++++-+-"],
  [48, 40, "-++---+--+-+++-+--+-+++-+-++++--++--+-+-"],
] as const) {
  void test(`vectors of a matrix ${rows} × ${columns} are not found through its triangle`, () => {
    const matrix = Float32Array.from({ length: rows * columns }, (_, i) =>
      Math.sin(1.3 * i * i + 0.5),
    );
    const { left } = singularVectors(matrix, { rows, columns, count: columns });
    const signs = left.map((vector) => ((vector[0] as number) > 0 ? "+" : "-")).join("");
    const turned = signs.replace(/./g, (sign) => (sign === "+" ? "-" : "+"));
    assert.ok([signs, turned].includes(truth), `${signs} instead of ${truth}`);
  });
}
