import assert from "node:assert/strict";
import { test } from "node:test";
import {
  deadAlternatives,
  repeatsRepeated,
} from "../../../../extension/core/checkpoint/alternatives.ts";

const names = ["model.layers.0.q_proj", "model.layers.1.v_proj"];

function isDead(pattern: string): boolean {
  const regex = new RegExp(`^(?:${pattern})$`);
  return !names.some((name) => regex.test(name));
}

const dead: [pattern: string, found: string[]][] = [
  [".*\\.(q_proj|v_proj)", []],
  [".*\\.(q_proj|k_porj)", ["k_porj"]],
  [".*\\.(?:0|7)\\.(q_proj|up)", ["7", "up"]],
  ["nothing|.*q_proj", ["nothing"]],
  ["[(|]|.*_proj", ["[(|]"]],
  ["(a|b)", []],
  [".*(\\||q)_proj", ["\\|"]],
];

for (const [pattern, found] of dead) {
  test(`of ${pattern} ${found.join(", ") || "nothing"} is dead`, () => {
    const parts = deadAlternatives(pattern, isDead);
    assert.deepEqual(
      parts.map(({ text }) => text),
      found,
    );
    for (const { text, start, end } of parts) assert.equal(pattern.slice(start, end), text);
  });
}

const repeats: [pattern: string, isNested: boolean][] = [
  [".*\\.(q|v)_proj", false],
  ["model\\.(layers|h)\\.\\d+\\.(.*)_proj", false],
  ["(a+)+", true],
  ["(([a-z_.0-9])+)+!", true],
  ["(?:a*b){2,}", true],
  ["(a|b)+", false],
  ["[(+)]+", false],
  ["(\\+)+", false],
];

for (const [pattern, isNested] of repeats) {
  test(`${pattern} ${isNested ? "repeats" : "does not repeat"} what is repeated`, () => {
    assert.equal(repeatsRepeated(pattern), isNested);
  });
}
