import assert from "node:assert/strict";
import { test } from "node:test";
import type { LossKind } from "../../../../extension/core/train/losses.ts";
import { type Answers, scoresOf } from "../../../../extension/core/train/metrics.ts";

function close(actual: Readonly<Record<string, number>>, expected: Record<string, number>): void {
  assert.deepEqual(Object.keys(actual), Object.keys(expected));
  for (const [name, value] of Object.entries(expected))
    assert.ok(Math.abs((actual[name] as number) - value) < 1e-6, `${name}: ${actual[name]}`);
}

/** Answers in two batches. */
function score(
  kind: LossKind,
  width: number,
  { logits, labels, weights }: Answers,
): Record<string, number> {
  const scores = scoresOf(kind, width);
  const perRow = kind === "choice" ? 1 : width;
  for (const row of Array.from(weights).keys()) {
    scores.add({
      logits: logits.slice(row * width, (row + 1) * width),
      labels: Array.from(labels).slice(row * perRow, (row + 1) * perRow),
      weights: [weights[row] as number],
    });
  }
  return scores.finish();
}

void test("classes: accuracy and macro F1 as scikit-learn has them, ignored rows left out", () => {
  const answers = [0, 2, 1, 0, 1];
  const logits = Float32Array.from(
    answers.flatMap((answer) => [0, 1, 2].map((i) => (i === answer ? 2 : 1))),
  );
  // f1_score([0, 1, 1, 0], [0, 2, 1, 0], average="macro")
  close(score("choice", 3, { logits, labels: [0, 1, 1, 0, 0], weights: [1, 1, 1, 1, 0] }), {
    accuracy: 0.75,
    f1: (1 + 2 / 3 + 0) / 3,
  });
});

void test("several labels: whole rows that are right, and micro F1", () => {
  const logits = Float32Array.of(1, -1, 2, -3, 1, 1);
  close(score("choices", 2, { logits, labels: [1, 0, 1, 1, 0, 1], weights: [1, 1, 1] }), {
    accuracy: 1 / 3,
    f1: 6 / 8,
  });
});

void test("numbers: squared error and correlation", () => {
  const logits = Float32Array.of(1, 2, 4);
  // scipy.stats.pearsonr([1, 2, 4], [2, 4, 6])
  close(score("numbers", 1, { logits, labels: [2, 4, 6], weights: [1, 1, 1] }), {
    mse: 3,
    pearson: 0.9819805,
  });
  assert.deepEqual(scoresOf("numbers", 1).finish(), {});
});
