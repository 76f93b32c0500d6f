import assert from "node:assert/strict";
import { test } from "node:test";
import { adapterInputs } from "../../../../extension/core/session/adapterInputs.ts";
import type { CausalSession } from "../../../../extension/core/session/causalSession.ts";
import {
  generate,
  type Generated,
  type GenerateOptions,
} from "../../../../extension/core/tokens/generate.ts";
import { greedy } from "../../../../extension/core/tokens/sampler.ts";
import { failure } from "../support.ts";

const vocabulary = 10;
const stop = 9;

/** A model that says 1, 2, 3, … and keeps what it was asked to read. */
class Counter {
  readonly reads: number[][] = [];
  readonly model: { contextLength: number };

  constructor(
    contextLength = 1000,
    private readonly onRead: (count: number) => void = () => {},
  ) {
    this.model = { contextLength };
  }

  start(): object {
    return {};
  }

  async forward(_state: object, [tokens = []]: number[][]): Promise<{ data: Float32Array }> {
    this.reads.push(tokens);
    this.onRead(this.reads.length);
    const data = new Float32Array(vocabulary).fill(0.1);
    data[((tokens.at(-1) ?? 0) + 1) % vocabulary] = 1;
    return { data };
  }

  say(prompt: readonly number[], options: Partial<GenerateOptions> = {}): Promise<Generated> {
    const all = { sampling: greedy, maxNewTokens: 100, stopTokens: new Set([stop]), ...options };
    const session = this as unknown as CausalSession;
    return generate(session, { prompt, adapters: adapterInputs([]) }, all);
  }
}

const endings: {
  what: string;
  prompt?: number[];
  context?: number;
  options?: Partial<GenerateOptions>;
  ids: number[];
  finish: Generated["finish"];
}[] = [
  { what: "the stop token, which is no part of it", prompt: [5], ids: [6, 7, 8], finish: "stop" },
  { what: "a stop token at once", prompt: [8], ids: [], finish: "stop" },
  {
    what: "any of several stop tokens",
    options: { stopTokens: new Set([stop, 3]) },
    ids: [1, 2],
    finish: "stop",
  },
  { what: "maxNewTokens", options: { maxNewTokens: 3 }, ids: [1, 2, 3], finish: "length" },
  { what: "maxNewTokens 1", options: { maxNewTokens: 1 }, ids: [1], finish: "length" },
  { what: "a full context", prompt: [0, 0, 0], context: 5, ids: [1, 2], finish: "context" },
  {
    what: "the last place of the context",
    prompt: [0, 0, 0, 0],
    context: 5,
    ids: [1],
    finish: "context",
  },
];

for (const { what, prompt = [0], context, options, ids, finish } of endings) {
  test(`an answer ends with ${what}`, async () => {
    const model = new Counter(context);
    const heard: number[] = [];
    const answer = await model.say(prompt, { ...options, onToken: (id) => heard.push(id) });
    assert.deepEqual([answer.ids, answer.finish], [ids, finish]);
    assert.deepEqual(heard, ids);
    // The last token is never read: nobody asks what follows it.
    const expected = finish === "stop" ? ids : ids.slice(0, -1);
    assert.deepEqual(model.reads, [prompt, ...expected.map((id) => [id])]);
  });
}

const refused: [prompt: number, options: Partial<GenerateOptions>, says: string][] = [
  [0, {}, "empty"],
  [5, {}, "The prompt has 5 tokens, the model's context holds 5"],
  [6, {}, "Shorten it"],
  [1, { maxNewTokens: 0 }, "Max new tokens is 0"],
  [1, { maxNewTokens: 1.5 }, "Max new tokens is 1.5"],
  [1, { maxNewTokens: NaN }, "Max new tokens is NaN"],
  [1, { sampling: { ...greedy, temperature: -1 } }, "Temperature is -1"],
];

for (const [length, options, says] of refused) {
  test(`a prompt of ${length} with ${JSON.stringify(options)} is refused: ${says}`, async () => {
    const model = new Counter(5);
    const prompt = Array<number>(length).fill(0);
    await assert.rejects(model.say(prompt, options), failure("bad-request", says));
    assert.deepEqual(model.reads, []);
  });
}

test("a long prompt is read in parts that hold it all", async () => {
  const prompt = Array.from({ length: 300 }, (_, i) => i % vocabulary);
  const model = new Counter();
  await model.say(prompt, { maxNewTokens: 1 });
  assert(model.reads.length > 1);
  assert.deepEqual(model.reads.flat(), prompt);
});

test("cancelled in the middle: what was said stays", async () => {
  const controller = new AbortController();
  const onToken = (id: number): void => void (id === 3 && controller.abort());
  const { ids, finish } = await new Counter().say([0], { onToken, signal: controller.signal });
  assert.deepEqual([ids, finish], [[1, 2, 3], "cancelled"]);
});

test("cancelled between two parts of the prompt: the rest is not read", async () => {
  const controller = new AbortController();
  const model = new Counter(1000, () => controller.abort());
  const prompt = Array<number>(300).fill(0);
  const { ids, finish } = await model.say(prompt, { signal: controller.signal });
  assert.deepEqual([ids, finish, model.reads.length], [[], "cancelled", 1]);
});

test("cancelled before it began", async () => {
  const model = new Counter();
  const { ids, finish } = await model.say([0], { signal: AbortSignal.abort() });
  assert.deepEqual([ids, finish, model.reads.length], [[], "cancelled", 0]);
});

test("a failure of the session is a failure, not an end", async () => {
  const model = new Counter(1000, (count) => assert(count < 3, "the session is gone"));
  await assert.rejects(model.say([0]), /the session is gone/);
});

test("the penalty is on the prompt's tokens and on the answer's", async () => {
  const sampling = { ...greedy, repetitionPenalty: 1e9 };
  const { ids } = await new Counter().say([3, 0], { sampling, maxNewTokens: 4 });
  // Without the prompt's 3 and the answer's 1 and 2, the first that is left is 4.
  assert.deepEqual(ids, [1, 2, 4, 5]);
});

test("the seed that was drawn with is told", async () => {
  const sampling = { ...greedy, temperature: 1 };
  assert.equal((await new Counter().say([0], { sampling: { ...sampling, seed: 77 } })).seed, 77);
  const { seed } = await new Counter().say([0], { sampling: { ...sampling, seed: null } });
  assert(Number.isInteger(seed));
});
