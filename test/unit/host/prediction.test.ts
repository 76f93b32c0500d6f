import assert from "node:assert/strict";
import { test } from "node:test";
import { formatPrediction } from "../../../extension/views/prediction.ts";

const check = (prediction: Parameters<typeof formatPrediction>[0], expected: string): void =>
  assert.equal(formatPrediction(prediction), expected);

test("labels are a table of names and probabilities", () => {
  const scores = [
    { label: "positive", score: 0.9 },
    { label: "bad", score: 0.1 },
  ];
  const task = "sequence-classification";
  check({ task, scores, of: "classes" }, "positive  90.0 %\nbad       10.0 %");
  check({ task, scores: [{ label: "stars", score: 3.5 }], of: "values" }, "stars  3.500");
  const many = Array.from({ length: 25 }, (_, i) => ({ label: `L${i}`, score: 0.04 }));
  assert.match(
    formatPrediction({ task: "image-classification", scores: many, of: "classes" }),
    /and 5 more$/,
  );
});

test("tokens stand beside their labels", () => {
  const tokens = [
    { token: "Ada", label: "PER", score: 0.99 },
    { token: "ran", label: "O", score: 0.5 },
  ];
  check({ task: "token-classification", tokens }, "Ada  PER  99.0 %\nran  O    50.0 %");
});

test("an answer comes with its score, and none is said so", () => {
  check({ task: "question-answering", answer: "blue", score: 0.25 }, "blue\n\n25.0 % sure");
  check({ task: "question-answering", answer: "", score: 0 }, "No answer in this text.");
});

test("an embedding is its size and its first numbers", () => {
  const mean = Array.from({ length: 12 }, (_, i) => i / 10);
  const text = formatPrediction({ task: "feature-extraction", mean, first: mean });
  assert.match(text, /^Embedding of 12 numbers\n/);
  assert.match(text, /first token +0\.0000, 0\.1000.*, …$/);
});
