import assert from "node:assert/strict";
import { test } from "node:test";
import { inverseTransform } from "../../../../extension/core/base/fourier.ts";
import { seededRandom } from "../../../../extension/core/base/random.ts";

for (const n of [1, 2, 7, 12, 43, 96, 160]) {
  void test(`the inverse transform of ${n} values is its defining sum`, () => {
    const random = seededRandom(n);
    const [re, im] = [Float64Array.from({ length: n }, random), new Float64Array(n).map(random)];
    const fast = inverseTransform(n)({ re, im });
    for (let k = 0; k < n; k++) {
      let [real, imaginary] = [0, 0];
      for (let j = 0; j < n; j++) {
        const angle = (2 * Math.PI * j * k) / n;
        const [x, y] = [re[j] as number, im[j] as number];
        real += (x * Math.cos(angle) - y * Math.sin(angle)) / n;
        imaginary += (x * Math.sin(angle) + y * Math.cos(angle)) / n;
      }
      assert.ok(Math.abs(real - (fast.re[k] as number)) < 1e-13);
      assert.ok(Math.abs(imaginary - (fast.im[k] as number)) < 1e-13);
    }
  });
}
