import assert from "node:assert/strict";
import test from "node:test";
import { numpyGenerator } from "../../../../extension/core/base/numpyRandom.ts";

// Written by NumPy 2.4.
const bits: [seed: number, first: string, second: string][] = [
  [0, "a30febcfd9c2825f", "4510bdf882d9d721"],
  [42, "c621fbcd16d92688", "705a5661a791ffc1"],
  [7, "a00641a9f1e54a8b", "e5afcdbcaf266a95"],
];
for (const [seed, first, second] of bits) {
  void test(`default_rng(${seed}) gives NumPy's bits`, () => {
    const random = numpyGenerator(seed);
    assert.deepEqual([random.bits64().toString(16), random.bits64().toString(16)], [first, second]);
  });
}

void test("choice and shuffle go on from one another as in NumPy", () => {
  const random = numpyGenerator(42);
  const extra = random.choice(7, 4);
  assert.deepEqual([...extra], [6, 0, 5, 3]);
  const values = Int32Array.from([
    ...Array.from({ length: 21 }, (_, i) => Math.floor(i / 3)),
    ...extra,
  ]);
  random.shuffle(values);
  assert.equal(values.join(), "2,6,2,1,0,6,1,0,0,3,3,5,6,3,2,5,1,0,5,5,4,4,6,3,4");
});

const choices: [population: number, size: number, first: string, sum: number][] = [
  [20_000, 100, "10295,7878,5955", 996_983],
  [20_000, 5000, "7486,16418,12232", 49_717_348],
  [64, 63, "7,23,20", 1953],
];
for (const [population, size, first, sum] of choices) {
  void test(`choice(${population}, ${size}) without replacement`, () => {
    const chosen = numpyGenerator(3).choice(population, size);
    assert.equal(chosen.slice(0, 3).join(), first);
    assert.equal(
      chosen.reduce((total, value) => total + value, 0),
      sum,
    );
    assert.equal(new Set(chosen).size, size);
  });
}
