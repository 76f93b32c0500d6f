import assert from "node:assert/strict";
import { test } from "node:test";
import { householderBasis } from "../../../../extension/core/base/householder.ts";
import { multiply, transposed } from "../../../../extension/core/base/matrix.ts";

// numpy.linalg.qr of [[1, 2], [3, 4], [5, 6]], which calls LAPACK as torch does.
void test("a basis has LAPACK's signs", () => {
  const q = householderBasis([1, 2, 3, 4, 5, 6], 3, 2);
  const truth = [-0.1690308509457033, 0.8970852271450605, -0.50709255283711, 0.2760262237369421];
  truth.forEach((value, i) => assert.ok(Math.abs(value - (q[i] as number)) < 1e-14));
  const gram = multiply(transposed(q, 3, 2), q, { rows: 2, inner: 3, columns: 2 });
  [1, 0, 0, 1].forEach((value, i) => assert.ok(Math.abs(value - (gram[i] as number)) < 1e-14));
});
