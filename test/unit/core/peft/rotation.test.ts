import assert from "node:assert/strict";
import { test } from "node:test";
import { activeEffect } from "../../../../extension/core/peft/activeEffects.ts";
import { compose } from "../../../../extension/core/peft/compose.ts";
import { type LinearEffect, mergedWeight } from "../../../../extension/core/peft/effect.ts";
import { difference, failure } from "../support.ts";

const size = { in: 2, out: 2 };
const module = { kind: "linear", path: "q", hasBias: false, ...size } as const;
const weight = Float32Array.of(1, 2, 3, 4);

/** W' = W M of a matrix M [2, 2], row-major. */
function rotated(m: readonly number[], firstTurnsFirst = false): LinearEffect {
  const rows = (matrix: Float32Array): Float32Array => times(matrix, m);
  const delta = rows(weight).map((value, i) => value - (weight[i] as number));
  return { delta, rotation: { rows, ...(firstTurnsFirst && { firstTurnsFirst }) } };
}

function times(matrix: Float32Array, m: readonly number[]): Float32Array {
  return matrix.map((_, i) => {
    const [row, column] = [i - (i % 2), i % 2];
    const [x, y] = [matrix[row] as number, matrix[row + 1] as number];
    return x * (m[column] as number) + y * (m[2 + column] as number);
  });
}

const [m1, m2] = [
  [0, 1, -1, 0],
  [2, 0, 1, 1],
] as const;
const low: LinearEffect = {
  lowRank: { rank: 1, a: Float32Array.of(1, 3), b: Float32Array.of(2, 1) },
};

function check(what: string, effect: LinearEffect | null, expected: Float32Array): void {
  const own = mergedWeight(weight, effect ?? {}, size);
  assert(
    difference(own, expected) < 1e-5,
    `${what}: ${[...own].join()} is not ${[...expected].join()}`,
  );
}

test("rotations multiply, and turn what other adapters do to the inputs", () => {
  check("two", compose(rotated(m1), rotated(m2), size), times(times(weight, m1), m2));
  const sum = mergedWeight(weight, low, size);
  check("low rank, then turned", compose(low, rotated(m1), size), times(sum, m1));
  const dense = { delta: Float32Array.of(1, 0, 0, 2) };
  const added = mergedWeight(weight, dense, size);
  check("dense, then turned", compose(dense, rotated(m2), size), times(added, m2));
  const turned = times(weight, m1);
  const product = mergedWeight(turned, low, size);
  check("turned, then low rank", compose(rotated(m1), low, size), product);
  const scaled = Float32Array.of(2, 2, 0.5, 0.5);
  const outputs = { outputScale: Float32Array.of(2, 0.5) };
  const expected = times(weight, m1).map((value, i) => value * (scaled[i] as number));
  check("outputs scaled, then turned", compose(outputs, rotated(m1), size), expected);
  const inputs = { inputScale: Float32Array.of(2, 3) };
  check(
    "turned, then inputs scaled",
    compose(rotated(m1), inputs, size),
    times(weight, m1).map((value, i) => value * (i % 2 === 0 ? 2 : 3)),
  );
  assert.throws(
    () => compose(inputs, rotated(m1), size),
    failure("bad-request", "Name the rotating one first"),
  );
});

test("of neighbours that say so the first active one turns the input first", () => {
  const active = (...effects: LinearEffect[]) =>
    effects.map((effect) => ({ effects: { linear: new Map([["q", effect]]) }, weight: 1 }));
  const [one, two] = [rotated(m1, true), rotated(m2, true)];
  check("both", activeEffect(module, active(one, two)), times(times(weight, m2), m1));
  const sum = mergedWeight(weight, low, size);
  check("behind another", activeEffect(module, active(low, one, two)), times(times(sum, m2), m1));
  check(
    "with one between",
    activeEffect(module, active(one, low, two)),
    times(mergedWeight(times(weight, m1), low, size), m2),
  );
  assert.equal(activeEffect(module, [{ effects: { linear: new Map() }, weight: 1 }]), null);
});

test("a rotation has a weight, and stays with biases that are stored whole", () => {
  const half = activeEffect(module, [
    { effects: { linear: new Map([["q", rotated(m1)]]) }, weight: 0.5 },
    { effects: { linear: new Map([["q", rotated(m2)]]) }, weight: 1 },
  ]);
  const halfway = weight.map((value, i) => 0.5 * (value + (times(weight, m1)[i] as number)));
  check("half", half, times(halfway, m2));
  const withBias = compose({ shift: Float32Array.of(1, 1) }, rotated(m1), size);
  check("bias", compose(rotated(m2), withBias, size), times(times(weight, m2), m1));
});
