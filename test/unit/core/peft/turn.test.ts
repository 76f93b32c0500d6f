import assert from "node:assert/strict";
import { test } from "node:test";
import { compose } from "../../../../extension/core/peft/compose.ts";
import {
  type LinearEffect,
  mergedBias,
  mergedWeight,
} from "../../../../extension/core/peft/effect.ts";

const size = { in: 2, out: 2 };
const weight = Float32Array.of(1, 2, 3, 4);
const bias = Float32Array.of(5, 6);

/** Row 0 and row 1 of the base turned in their plane, as RoAd makes it from the base's weight. */
function turned(cosine: number, sine: number): LinearEffect {
  const factor = Float32Array.of(-sine, sine);
  return {
    outputScale: Float32Array.of(cosine, cosine),
    delta: Float32Array.of(-sine * 3, -sine * 4, sine * 1, sine * 2),
    shift: Float32Array.of(-sine * 6, sine * 5),
    turn: { partner: Int32Array.of(1, 0), factor },
  };
}

void test("a turn after another adapter turns what that one made", () => {
  const [first, then] = [turned(0, 1), turned(0, 1)];
  const twice = compose(first, then, size);
  // Two quarter turns are a half turn: the sign changes.
  assert.deepEqual([...mergedWeight(weight, twice, size)], [-1, -2, -3, -4]);
  assert.deepEqual([...mergedBias(bias, twice)], [-5, -6]);
});

void test("a turn after scales and a low-rank update", () => {
  const first: LinearEffect = {
    inputScale: Float32Array.of(2, 1),
    outputScale: Float32Array.of(1, 10),
    lowRank: { a: Float32Array.of(1, 0), b: Float32Array.of(7, 8), rank: 1 },
  };
  // The first alone: [[2 + 7, 2], [60 + 8, 40]]; a quarter turn takes −row 1 and row 0.
  const both = compose(first, turned(0, 1), size);
  assert.deepEqual([...mergedWeight(weight, both, size)], [-68, -40, 9, 2]);
});
