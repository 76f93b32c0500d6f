import assert from "node:assert/strict";
import { test } from "node:test";
import type { ShownRun } from "../../../extension/protocol/runPageContract.ts";
import type { RunEvent, RunSummary } from "../../../extension/protocol/runsContract.ts";
import {
  append,
  latestSteps,
  lossCurves,
  smoothed,
  stepCurves,
} from "../../../webview/run/series.ts";

const names = { trained: "training", smoothed: "smoothed", evaluated: "evaluation" };

function step(at: number, loss: number, gradientNorm: number | null = 1): RunEvent {
  return {
    ...{ kind: "step", at: "", step: at, totalSteps: 100, epoch: 0, loss, gradientNorm },
    ...{ learningRate: 0.1, tokensPerSecond: 1, secondsLeft: null, memory: 0 },
  } as RunEvent;
}

function run(name: string, events: RunEvent[]): ShownRun {
  const summary = { folder: `/runs/${name}`, name } as RunSummary;
  return { summary, config: null, events };
}

test("what a run that went on reports again replaces what it reported before", () => {
  const events = [step(1, 3), step(2, 9), step(3, 9), step(2, 2), step(3, 1)];
  const [curve] = lossCurves([run("a", events)], names);
  assert.deepEqual(curve?.points, [
    { x: 1, y: 3 },
    { x: 2, y: 2 },
    { x: 3, y: 1 },
  ]);
  assert.equal(latestSteps([{ step: 2 }, { step: 1 }, { step: 2 }]).length, 2);
});

test("long runs are smoothed without a bias to their beginning, short ones are not", () => {
  const flat = Array.from({ length: 40 }, (_, at) => step(at + 1, 2));
  const curves = lossCurves([run("a", flat)], names);
  assert.deepEqual(
    curves.map(({ name, stroke }) => [name, stroke]),
    [
      ["training", "thin"],
      ["smoothed", "thick"],
    ],
  );
  for (const { y } of curves[1]?.points ?? []) assert(Math.abs(y - 2) < 1e-12);
  assert.equal(lossCurves([run("a", flat.slice(0, 5))], names).length, 1);
  // The last of two points counts more than the first.
  assert(
    (smoothed(
      [
        { x: 1, y: 0 },
        { x: 2, y: 1 },
      ],
      2,
    )[1]?.y ?? 0) > 0.5,
  );
});

test("runs beside each other keep their names and colours apart, steps without a norm are left out", () => {
  const runs = [run("a", [step(1, 1)]), run("b", [step(1, 2), step(2, 2, null)])];
  const losses = lossCurves(runs, names);
  assert.deepEqual(
    losses.map(({ name }) => name),
    ["a · training", "b · training"],
  );
  assert.notEqual(losses[0]?.colour, losses[1]?.colour);
  const norms = stepCurves(runs, (event) => event.gradientNorm);
  assert.deepEqual(
    norms.map(({ points }) => points.length),
    [1, 1],
  );
});

test("what is reported is added to the run that it is of", () => {
  const runs = [run("a", []), run("b", [])];
  const summary = { folder: "/runs/b", name: "b", step: 1 } as RunSummary;
  const [a, b] = append(runs, { summary, events: [step(1, 1)] });
  assert.equal(a, runs[0]);
  assert.deepEqual([b?.events.length, b?.summary.step], [1, 1]);
});
