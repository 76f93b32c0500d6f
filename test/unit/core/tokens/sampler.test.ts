import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { createSampler, greedy, type Sampling } from "../../../../extension/core/tokens/sampler.ts";
import { failure } from "../support.ts";

const free: Sampling = { ...greedy, temperature: 1, seed: 1 };
const probabilities = [0.05, 0.5, 0.15, 0.3];
const logits = Float32Array.from(probabilities, Math.log);

function draw(count: number, change: Partial<Sampling> = {}, from = logits): number[] {
  const sampler = createSampler({ ...free, ...change });
  return Array.from({ length: count }, () => sampler.next(from, new Set()));
}

const greedyCases: [logits: number[], chosen: number][] = [
  [[1, 3, 2], 1],
  [[-5, -3, -4], 1],
  [[2, 2, 2], 0],
  [[7], 0],
  [[-Infinity, -1e38], 1],
];

for (const [values, chosen] of greedyCases) {
  test(`greedy of ${values.join(", ")} is ${chosen}`, () => {
    assert.equal(createSampler(greedy).next(Float32Array.from(values), new Set()), chosen);
  });
}

const penalties: [logits: number[], seen: number[], penalty: number, chosen: number][] = [
  [[2, 1.5], [], 2, 0],
  [[2, 1.5], [0], 2, 1],
  [[-1, -1.5], [0], 2, 1],
  [[2, 1.5], [0], 1.2, 0],
  // Once a token, however often it was seen.
  [[2, 1.2], [0, 0, 0], 1.5, 0],
  [[2, 1.5], [1], 0.5, 1],
  [[2, 1.5], [7, -1], 2, 0],
];

for (const [values, seen, penalty, chosen] of penalties) {
  test(`${values.join(", ")} with penalty ${penalty} on [${seen.join(", ")}] is ${chosen}`, () => {
    const given = Float32Array.from(values);
    const sampler = createSampler({ ...greedy, repetitionPenalty: penalty });
    assert.equal(sampler.next(given, new Set(seen)), chosen);
    assert.deepEqual(given, Float32Array.from(values), "the logits are the caller's");
  });
}

/** Which of the four tokens can be drawn at all. */
const kept: [change: Partial<Sampling>, tokens: number[]][] = [
  [{}, [0, 1, 2, 3]],
  [{ topK: 1 }, [1]],
  [{ topK: 3 }, [1, 2, 3]],
  [{ topK: 9 }, [0, 1, 2, 3]],
  [{ topP: 0.001 }, [1]],
  [{ topP: 0.49 }, [1]],
  [{ topP: 0.51 }, [1, 3]],
  [{ topP: 0.79 }, [1, 3]],
  [{ topP: 0.81 }, [1, 2, 3]],
  [{ topP: 0.96 }, [0, 1, 2, 3]],
  // What top-k leaves is the whole for top-p: 0.625 and 0.375.
  [{ topK: 2, topP: 0.6 }, [1]],
  [{ topK: 2, topP: 0.64 }, [1, 3]],
  // At temperature 0.5 the shares are squared: 0.68 and 0.25 of the two likeliest.
  [{ temperature: 0.5, topP: 0.67 }, [1]],
  [{ temperature: 0.5, topP: 0.7 }, [1, 3]],
];

for (const [change, tokens] of kept) {
  test(`${JSON.stringify(change)} leaves ${tokens.join(", ")}`, () => {
    assert.deepEqual([...new Set(draw(1000, change))].sort(), tokens);
  });
}

for (const temperature of [0.5, 1, 2]) {
  test(`20,000 draws at temperature ${temperature} are distributed as softmax says`, () => {
    const count = 20_000;
    const powers = probabilities.map((p) => p ** (1 / temperature));
    const total = powers.reduce((sum, p) => sum + p, 0);
    const drawn = draw(count, { temperature, seed: 5 });
    powers.forEach((power, id) => {
      const share = drawn.filter((each) => each === id).length / count;
      // Four standard deviations of a share of one half.
      assert(Math.abs(share - power / total) < 0.0142, `token ${id}: ${share}`);
    });
  });
}

test("a hopeless token is never drawn, an equal one is", () => {
  const drawn = new Set(draw(2000, {}, Float32Array.of(0, -Infinity, 0, -200)));
  assert.deepEqual([...drawn].sort(), [0, 2]);
});

test("the same seed draws the same tokens, another seed others", () => {
  assert.deepEqual(draw(50, { seed: 3 }), draw(50, { seed: 3 }));
  assert.notDeepEqual(draw(50, { seed: 3 }), draw(50, { seed: 4 }));
});

test("a seed that nobody chose is told, and repeats the answer", () => {
  const sampler = createSampler({ ...free, seed: null });
  const drawn = Array.from({ length: 50 }, () => sampler.next(logits, new Set()));
  assert.deepEqual(draw(50, { seed: sampler.seed }), drawn);
});

const refused: [change: Partial<Sampling>, says: string][] = [
  [{ temperature: -0.1 }, "Temperature is -0.1"],
  [{ temperature: NaN }, "Temperature is NaN"],
  [{ topP: 0 }, "Top-p is 0"],
  [{ topP: 1.1 }, "Top-p is 1.1"],
  [{ topK: -1 }, "Top-k is -1"],
  [{ topK: 1.5 }, "Top-k is 1.5"],
  [{ repetitionPenalty: 0 }, "Repetition penalty is 0"],
];

for (const [change, says] of refused) {
  test(`${JSON.stringify(change)} is refused`, () => {
    assert.throws(() => createSampler({ ...free, ...change }), failure("bad-request", says));
  });
}

/** What sorting the whole vocabulary gives: the plain way to say what the sampler does. */
function drawBySorting(
  scores: Float32Array,
  { temperature, topK, topP }: Sampling,
  u: number,
): number {
  const best = Math.max(...scores);
  let kept = [...scores]
    .map((score, id) => ({ id, weight: Math.exp((score - best) / temperature) }))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, topK === 0 ? Infinity : topK);
  const sum = (): number => kept.reduce((total, { weight }) => total + weight, 0);
  const enough = topP * sum();
  let held = 0;
  kept = kept.filter(({ weight }) => (held += weight) - weight < enough);
  let left = u * sum();
  return (kept.find(({ weight }) => (left -= weight) < 0) ?? kept[0])?.id ?? -1;
}

const filters: Partial<Sampling>[] = [
  {},
  { topK: 40 },
  { topP: 0.9 },
  { topP: 0.3, temperature: 3 },
  { topK: 200, topP: 0.95, temperature: 0.7 },
];

for (const filter of filters) {
  test(`a large vocabulary with ${JSON.stringify(filter)} is drawn from as if sorted`, () => {
    const random = seededRandom(8);
    // Rounded, so that some are equal.
    const scores = Float32Array.from({ length: 3000 }, () => Math.round(random() * 120) / 12);
    const sampling = { ...free, ...filter, seed: 3 };
    const sampler = createSampler(sampling);
    const same = seededRandom(3);
    for (let i = 0; i < 200; i++) {
      assert.equal(
        sampler.next(scores, new Set()),
        drawBySorting(scores, sampling, same()),
        `draw ${i}`,
      );
    }
  });
}
