import assert from "node:assert/strict";
import { test } from "node:test";
import { type ScheduleOptions, scheduleOf } from "../../../../extension/core/train/schedule.ts";

/** transformers 5.18, get_scheduler over 10 steps of a rate of 0.01, warm-up of 2. */
const truths: [ScheduleOptions, number[]][] = [
  [
    { type: "linear", warmupSteps: 2 },
    [0.0, 0.005, 0.01, 0.00875, 0.0075, 0.00625, 0.005, 0.00375, 0.0025, 0.00125, 0.0, 0.0],
  ],
  [
    { type: "cosine", warmupSteps: 2 },
    [
      0.0, 0.005, 0.01, 0.00961939766255643, 0.00853553390593274, 0.00691341716182545, 0.005,
      0.00308658283817455, 0.00146446609406726, 0.000380602337443566, 0.0, 0.000380602337443566,
    ],
  ],
  [
    { type: "cosine", warmupSteps: 2, cycles: 1.5 },
    [
      0.0, 0.005, 0.01, 0.00691341716182545, 0.00146446609406726, 0.000380602337443566, 0.005,
      0.00961939766255643, 0.00853553390593274, 0.00308658283817455, 0.0, 0.00308658283817455,
    ],
  ],
  [
    { type: "cosine_with_restarts", warmupSteps: 2, cycles: 2 },
    [
      0.0, 0.005, 0.01, 0.00853553390593274, 0.005, 0.00146446609406726, 0.01, 0.00853553390593274,
      0.005, 0.00146446609406726, 0.0, 0.0,
    ],
  ],
  [
    { type: "polynomial", warmupSteps: 2, power: 2, endRate: 0.001 },
    [
      0.0, 0.005, 0.01, 0.007890625, 0.0060625, 0.004515625, 0.00325, 0.002265625, 0.0015625,
      0.001140625, 0.001, 0.001,
    ],
  ],
  [{ type: "constant" }, [0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]],
  [
    { type: "constant_with_warmup", warmupSteps: 2 },
    [0.0, 0.005, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01],
  ],
];

for (const [options, rates] of truths) {
  void test(`${JSON.stringify(options)} has transformers' rates`, () => {
    const schedule = scheduleOf(options, { steps: 10, rate: 0.01 });
    rates.forEach((rate, step) => {
      assert.ok(Math.abs(0.01 * schedule(step) - rate) < 1e-12, `step ${step}: ${schedule(step)}`);
    });
  });
}

void test("a warm-up by its part of all steps is rounded up", () => {
  const schedule = scheduleOf({ type: "linear", warmupRatio: 0.11 }, { steps: 10, rate: 1 });
  assert.deepEqual([schedule(0), schedule(1), schedule(2)], [0, 0.5, 1]);
});

void test("a polynomial that ends above its beginning is refused", () => {
  const options = { type: "polynomial", endRate: 1 } as const;
  assert.throws(() => scheduleOf(options, { steps: 10, rate: 0.1 }), { code: "bad-request" });
});
