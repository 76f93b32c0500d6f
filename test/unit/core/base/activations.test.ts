import assert from "node:assert/strict";
import { test } from "node:test";
import { activations, erf } from "../../../../extension/core/base/activations.ts";

// Python's math.erf.
const values: [x: number, expected: number][] = [
  [0, 0],
  [0.1, 0.1124629160182849],
  [-1, -0.8427007929497149],
  [2.4999, 0.9995928300996669],
  [2.5001, 0.9995932657565293],
  [5, 0.9999999999984626],
];
for (const [x, expected] of values) {
  void test(`erf(${x})`, () => assert.ok(Math.abs(erf(x) - expected) < 1e-15));
}

void test("no activation overflows", () => {
  for (const [name, activation] of Object.entries(activations)) {
    for (const x of [-1e3, 0, 1e3]) assert.ok(Number.isFinite(activation(x)), `${name}(${x})`);
  }
});
