import assert from "node:assert/strict";
import { test } from "node:test";
import { multiply, transposed } from "../../../../extension/core/base/matrix.ts";
import { cayley, cayleyNeumann, skewSymmetric } from "../../../../extension/core/peft/cayley.ts";

const size = 4;
const q = skewSymmetric([0.1, -0.2, 0.05, 0.3, -0.1, 0.02], size);
const identity = Float64Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0));

function difference(x: Float64Array, y: Float64Array): number {
  return Math.max(...x.map((value, i) => Math.abs(value - (y[i] as number))));
}

void test("Cayley's transform is a rotation", () => {
  const r = cayley(q, size);
  const product = multiply(r, transposed(r, size, size), {
    rows: size,
    inner: size,
    columns: size,
  });
  assert.ok(difference(product, identity) < 1e-14);
});

// PEFT's series is that of (I + Q)(I − Q)⁻¹, the inverse of its exact form.
void test("the series approaches the transform of −Q", () => {
  const exact = cayley(
    q.map((value) => -value),
    size,
  );
  assert.ok(difference(cayleyNeumann(q, size, 40), exact) < 1e-12);
});

void test("PEFT counts the same series for 3 and 4 terms", () => {
  assert.deepEqual(cayleyNeumann(q, size, 1), identity);
  assert.deepEqual(cayleyNeumann(q, size, 3), cayleyNeumann(q, size, 4));
});
