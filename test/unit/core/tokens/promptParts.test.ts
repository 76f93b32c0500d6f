import assert from "node:assert/strict";
import { test } from "node:test";
import { PromptParts } from "../../../../extension/core/tokens/promptParts.ts";

/** Sizes of the parts in which a prompt is read where a part takes so many milliseconds. */
function sizes(ms: (tokens: number) => number, count = 12): number[] {
  const parts = new PromptParts();
  return Array.from({ length: count }, () => {
    const size = parts.next();
    parts.took(size, ms(size));
    return size;
  });
}

const speeds: [what: string, ms: (tokens: number) => number, last: number][] = [
  ["a quick model has the largest that fit", (tokens) => tokens * 0.1, 128],
  ["the time that a part may take decides", (tokens) => tokens * 0.5, 128],
  ["where the smallest costs nothing more, it is read", (tokens) => tokens * 15, 32],
  ["where weights take most of the time, larger ones are read", (tokens) => 100 + tokens * 6, 64],
];

for (const [what, ms, last] of speeds) {
  test(`parts of a prompt: ${what}`, () => {
    assert.equal(sizes(ms).at(-1), last);
  });
}

test("nothing is concluded from the short rest of a prompt", () => {
  const parts = new PromptParts();
  parts.took(3, 1000);
  assert.equal(parts.next(), 64);
});

test("rows of a batch share a part, down to a few tokens each", () => {
  const parts = new PromptParts();
  assert.deepEqual(
    [1, 2, 3, 4, 100].map((rows) => parts.next(rows)),
    [64, 32, 16, 16, 16],
  );
});
