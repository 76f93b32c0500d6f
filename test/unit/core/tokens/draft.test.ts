import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafter } from "../../../../extension/core/tokens/draft/drafter.ts";
import { LookupDrafts, NgramLookup } from "../../../../extension/core/tokens/draft/lookup.ts";
import { StepCosts } from "../../../../extension/core/tokens/draft/stepCosts.ts";

const matches: [what: string, text: number[], count: number, draft: number[] | null][] = [
  ["nothing", [], 3, null],
  ["one token", [1], 3, null],
  ["a pair that is new", [1, 2, 3, 2, 1], 3, null],
  ["a pair that stood before", [1, 2, 3, 4, 5, 1, 2], 3, [3, 4, 5]],
  ["the latest of two alike", [1, 2, 7, 1, 2, 8, 1, 2], 1, [8]],
  ["a longer match before a later one", [9, 1, 2, 7, 5, 1, 2, 8, 9, 1, 2], 1, [7]],
  ["a text that repeats itself, beyond its end", [5, 6, 7, 5, 6, 7, 5, 6], 5, [7, 5, 6, 7, 5]],
  ["one token over and over", [4, 4, 4], 3, [4, 4, 4]],
  ["large ids", [200_000, 151_000, 3, 200_000, 151_000], 1, [3]],
];

for (const [what, text, count, draft] of matches) {
  test(`lookup of ${what}`, () => {
    const lookup = new NgramLookup(text);
    const found = lookup.find();
    assert.deepEqual(found && lookup.read(found, count), draft);
  });
}

/** Sizes of drafts for a text that repeats, as the model agrees with this share of the tokens. */
async function sizes(share: number, slope: number, count = 40): Promise<number[]> {
  const costs = new StepCosts();
  for (let i = 0; i < 5; i++) costs.took(1, 100);
  const text = Array.from({ length: 64 }, (_, i) => i % 32);
  const drafter = new Drafter([new LookupDrafts(text)], {
    costs,
    size: null,
    stopTokens: new Set(),
  });
  const found: number[] = [];
  for (let i = 0; i < count; i++) {
    const { length } = await drafter.propose(100);
    costs.took(length + 1, 100 * (1 + slope * length));
    drafter.judge(length, Math.round(share * length));
    found.push(length);
  }
  return found;
}

test("drafts grow where the model agrees", async () => {
  assert(Math.max(...(await sizes(1, 0.1))) >= 7);
});

test("drafts are shorter where a token more costs much", async () => {
  const [dear, cheap] = [await sizes(0.8, 0.3), await sizes(0.8, 0.05)];
  assert((dear.at(-1) as number) < (cheap.at(-1) as number));
});

test("where the model disagrees nothing is drafted but a probe now and then", async () => {
  const late = (await sizes(0, 0.25, 200)).slice(40);
  assert(late.filter((size) => size > 0).length <= 6, late.join());
  assert(late.every((size) => size <= 1));
});

test("where a token more costs as much as a step, nothing is drafted in the end", async () => {
  assert((await sizes(1, 1, 100)).slice(-20).filter((size) => size > 0).length <= 1);
});

test("a draft ends before the end of an answer and at what there is room for", async () => {
  const options = { costs: new StepCosts(), size: 3, stopTokens: new Set([9]) };
  const draft = (text: number[], room: number): Promise<readonly number[]> =>
    new Drafter([new LookupDrafts(text)], options).propose(room);
  const text = [1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 1, 2];
  assert.deepEqual(await draft(text, 100), [3, 4, 5]);
  assert.deepEqual(await draft(text, 2), [3, 4]);
  assert.deepEqual(await draft(text, 0), []);
  assert.deepEqual(await draft([1, 2, 3, 9, 4, 1, 2], 100), [3]);
});

test("one pass that waited for something else does not end reading ahead", () => {
  const costs = new StepCosts();
  for (let i = 0; i < 5; i++) costs.took(1, 10);
  costs.took(4, 400);
  assert(costs.relative(2) < 1.6, String(costs.relative(2)));
});
