import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { ActiveAdapter as Adapter } from "../../../extension/protocol/engineContract.ts";
import { Library } from "../../../extension/engine/library.ts";
import { createService } from "../../../extension/engine/service.ts";
import { argmax } from "../../../extension/core/tokens/sampler.ts";
import type { EngineContract } from "../../../extension/protocol/engineContract.ts";
import type { Sampling } from "../../../extension/protocol/generationContract.ts";
import type {
  GenerateColumnsEvent,
  GenerateColumnsParams,
  Prompt,
  TokenDetail,
} from "../../../extension/protocol/generationContract.ts";
import { failure, fixtures, sample } from "../core/support.ts";
import { withTokenizer } from "../core/tinyTokenizer.ts";

const library = new Library();
const service = createService(library);
const never = new AbortController().signal;

/** Asks the service as a connection would. */
async function ask<M extends keyof EngineContract>(
  method: M,
  params: EngineContract[M]["params"],
  {
    onEvent = () => {},
    signal = never,
  }: { onEvent?: (event: never) => void; signal?: AbortSignal } = {},
): Promise<EngineContract[M]["result"]> {
  return service[method](params, { emit: onEvent, signal } as never);
}

const sampling: Sampling = {
  maxNewTokens: 60,
  temperature: 0.9,
  topP: 0.95,
  topK: 0,
  repetitionPenalty: 1.1,
  seed: 7,
};
const greedy = { ...sampling, temperature: 0, repetitionPenalty: 1 };

const { path: base } = await ask("loadBaseModel", { path: path.join(sample, "base") });
const names = ["lora-pirate", "lora-json", "ia3-butler", "dora-shout"];
for (const name of names) {
  await ask("loadAdapter", { base, path: path.join(sample, "adapters", name), name });
}
after(() => ask("unloadBaseModel", { base }));

const chat = (content: string): Prompt => ({ kind: "chat", messages: [{ role: "user", content }] });
const sky = chat("What colour is the sky?");
const active = (name: string, weight = 1): Adapter[] => [{ name, weight }];

let runs = 0;
function columns(
  sets: readonly Adapter[][],
  rest: Partial<GenerateColumnsParams> = {},
): GenerateColumnsParams {
  const own = sets.map((adapters, i) => ({ id: `column ${i}`, adapters }));
  return { run: `run ${runs++}`, base, prompt: sky, columns: own, sampling, ...rest };
}

test("each column says what it says alone with that seed", async () => {
  const sets = [
    [],
    ...names.map((name) => active(name)),
    [...active("lora-pirate", 0.5), ...active("lora-json", 0.5)],
  ];
  const prompts = sets.map((_, i) =>
    i % 2 === 0 ? sky : chat("Tell me of the sea and of the wind."),
  );
  for (const seed of [1, 2, 3]) {
    const at = { ...sampling, seed };
    const params = columns(sets, { sampling: at });
    params.columns.forEach((column, i) => (column.prompt = prompts[i] ?? assert.fail()));
    const together = await ask("generateColumns", params);
    assert.equal(together.oneByOne, "");
    for (const [i, adapters] of sets.entries()) {
      const prompt = prompts[i] ?? assert.fail();
      const alone = await ask("generate", { base, prompt, adapters, sampling: at });
      const { text, finish, tokens } = together.columns[i] ?? assert.fail();
      assert.deepEqual(
        [text, finish, tokens],
        [alone.text, alone.finish, alone.tokens],
        `${seed}, ${i}`,
      );
    }
  }
});

test("columns without a seed share a fresh one", async () => {
  const result = await ask(
    "generateColumns",
    columns([[], []], { sampling: { ...sampling, seed: null } }),
  );
  const [one, other] = result.columns;
  assert.equal(one?.text, other?.text);
  assert.deepEqual([one?.seed, other?.seed], [result.seed, result.seed]);
});

test("every token is told once, with the model's own probabilities", async () => {
  const told: TokenDetail[][] = [[], []];
  const snapshots: string[][] = [[], []];
  const result = await ask(
    "generateColumns",
    columns([[], active("lora-pirate")], { topAlternatives: 5, prompt: chat("Say “ü” and 😀") }),
    {
      onEvent: (event: GenerateColumnsEvent) => {
        event.columns.forEach(({ newTokens, text }, i) => {
          assert.equal(newTokens?.from ?? told[i]?.length, told[i]?.length);
          told[i]?.push(...(newTokens?.tokens ?? []));
          snapshots[i]?.push(text);
          assert.equal(told[i]?.map(({ piece }) => piece).join(""), text);
        });
      },
    },
  );
  for (const [i, { text, details = [], tokens }] of result.columns.entries()) {
    assert.deepEqual(details, told[i]);
    assert.equal(details.length, tokens);
    assert.equal(details.map(({ piece }) => piece).join(""), text);
    for (const { id, probability, alternatives } of details) {
      assert.equal(alternatives.length, 5);
      const sum = alternatives.reduce((total, each) => total + each.probability, 0);
      assert(sum <= 1 + 1e-6 && probability > 0 && probability <= 1);
      const own = alternatives.find((each) => each.id === id);
      if (own) assert.equal(own.probability, probability);
      const order = alternatives.map((each) => each.probability);
      assert.deepEqual(
        order,
        [...order].sort((a, b) => b - a),
      );
    }
  }
});

test("probabilities are those before sampling", async () => {
  const [plain, hot] = await Promise.all(
    [greedy, { ...greedy, temperature: 5, topK: 1 }].map((at) =>
      ask("generateColumns", columns([[]], { sampling: at, topAlternatives: 3 })),
    ),
  );
  assert.deepEqual(hot?.columns[0]?.details, plain?.columns[0]?.details);
});

/** What is said when adapters change after so many tokens, by hand: the cache stays as it is. */
async function byHand(first: Adapter[], then: Adapter[], count: number): Promise<number[]> {
  const model = library.require(base);
  const ids: number[] = [];
  const inputs = model.inputsOf(first);
  await model.base.session.with(inputs, async (session) => {
    const prompt = model.encode(sky, []);
    const state = session.start(inputs, 1, [prompt]);
    let { data } = await session.forward(state, [prompt]);
    for (;;) {
      const id = argmax(data);
      if (model.base.stopTokens.has(id) || ids.length === 60) return;
      ids.push(id);
      if (ids.length >= count) state.adapters = model.inputsOf(then);
      ({ data } = await session.forward(state, [[id]]));
    }
  });
  return ids;
}

test("adapters and weights change from the next token on, and the cache stays", async () => {
  const count = 3;
  const then = [...active("lora-pirate", 0.25), ...active("lora-json", 1.5)];
  const params = columns([active("lora-pirate"), [], active("dora-shout")], {
    sampling: greedy,
    topAlternatives: 0,
  });
  const before = await ask("generateColumns", { ...params, run: "before" });
  let change: Promise<{ from: number | null }> | undefined;
  const result = await ask("generateColumns", params, {
    onEvent: (event: GenerateColumnsEvent) => {
      if (event.columns[0]?.tokens !== count || change) return;
      change = ask("setColumnAdapters", { run: params.run, column: "column 0", adapters: then });
    },
  });
  assert(change);
  assert.deepEqual(await (change as Promise<unknown>), { from: count });
  const [changed, ...others] = result.columns;
  assert.deepEqual(changed?.changes, [{ from: count, adapters: then }]);
  assert.deepEqual(
    changed?.details?.map(({ id }) => id),
    await byHand(active("lora-pirate"), then, count),
  );
  assert.notEqual(changed?.text, before.columns[0]?.text);
  assert.deepEqual(
    others.map(({ text }) => text),
    before.columns.slice(1).map(({ text }) => text),
  );
});

test("a change that cannot be is refused, and the run goes on", async () => {
  const params = columns([active("lora-pirate")], { sampling: greedy });
  const plain = await ask("generateColumns", { ...params, run: "plain" });
  const refusals: Promise<unknown>[] = [];
  const result = await ask("generateColumns", params, {
    onEvent: (event: GenerateColumnsEvent) => {
      if (event.columns[0]?.finish) return;
      const change = { run: params.run, column: "column 0", adapters: active("nobody") };
      refusals.push(
        assert.rejects(ask("setColumnAdapters", change), failure("bad-request", "nobody")),
      );
      refusals.push(
        assert.rejects(
          ask("setColumnAdapters", { ...change, column: "x" }),
          failure("bad-request", '"x"'),
        ),
      );
    },
  });
  await Promise.all(refusals);
  assert.equal(result.columns[0]?.text, plain.columns[0]?.text);
  const late = { run: params.run, column: "column 0", adapters: [] };
  assert.deepEqual(await ask("setColumnAdapters", late), { from: null });
});

test("columns that no batch can hold run one after another, and it is said why", async (t) => {
  const folder = await withTokenizer(t, "models/llama");
  const { path: tiny } = await ask("loadBaseModel", { path: folder });
  t.after(() => ask("unloadBaseModel", { base: tiny }));
  for (const name of ["xlora", "lora_default"]) {
    await ask("loadAdapter", {
      base: tiny,
      path: path.join(fixtures, "adapters/llama", name),
      name,
      allowPartial: true,
    });
  }
  const prompt: Prompt = { kind: "text", text: "sky is blue" };
  const params = {
    ...columns([active("xlora"), active("lora_default"), []], { prompt }),
    base: tiny,
  };
  const events: GenerateColumnsEvent[] = [];
  const result = await ask("generateColumns", params, {
    onEvent: (event: GenerateColumnsEvent) => void events.push(event),
  });
  assert.match(result.oneByOne, /one after another/);
  assert.equal(events[0]?.oneByOne, result.oneByOne);
  for (const [i, { adapters }] of params.columns.entries()) {
    const alone: { text: string } = await ask("generate", {
      base: tiny,
      prompt,
      adapters,
      sampling,
    });
    assert.equal(result.columns[i]?.text, alone.text);
  }
});

test("a stop text ends an answer wherever its tokens begin, and is never shown", async () => {
  const whole = await ask("generate", { base, prompt: sky, adapters: [], sampling: greedy });
  const { text } = whole;
  const middle = Math.floor(text.length / 2);
  for (let length = 1; length < 8; length++) {
    const stop = text.slice(middle, middle + length);
    const shown: string[] = [];
    const at = { ...greedy, stop: ["never said", stop] };
    const answer = await ask(
      "generate",
      { base, prompt: sky, adapters: [], sampling: at },
      {
        onEvent: (event: { text: string }) => void shown.push(event.text),
      },
    );
    const expected = text.slice(0, text.indexOf(stop));
    assert.deepEqual([answer.text, answer.finish, answer.stoppedBy], [expected, "stop", stop]);
    for (const each of shown)
      assert(expected.startsWith(each), `"${each}" shows more than "${expected}"`);
  }
});

test("what only looked like a stop text is said after all", async () => {
  const { text } = await ask("generate", { base, prompt: sky, adapters: [], sampling: greedy });
  const stop = [`${text.slice(-4)}…`];
  const answer = await ask("generate", {
    base,
    prompt: sky,
    adapters: [],
    sampling: { ...greedy, stop },
  });
  assert.deepEqual([answer.text, answer.stoppedBy], [text, undefined]);
});

const schema = {
  type: "object",
  properties: {
    topic: { type: "string", minLength: 1, maxLength: 12 },
    mood: { enum: ["calm", "wild"] },
    parts: { type: "array", items: { type: "integer", minimum: 0, maximum: 99 }, maxItems: 3 },
  },
  required: ["topic", "mood"],
  additionalProperties: false,
};

test("answers keep to a JSON schema under every adapter, or say that they were cut", async () => {
  const isValid = new Ajv2020().compile(schema);
  let whole = 0;
  for (const temperature of [0, 0.8, 1.5]) {
    const at = { ...sampling, temperature, maxNewTokens: 120, jsonSchema: schema };
    const sets = [[], ...names.map((name) => active(name))];
    const { columns: answers } = await ask(
      "generateColumns",
      columns(sets, { sampling: at, topAlternatives: 2 }),
    );
    for (const { text, finish, details } of answers) {
      assert.equal(details?.map(({ piece }) => piece).join(""), text);
      if (finish !== "stop") continue;
      whole++;
      assert(isValid(JSON.parse(text)), `${text}: ${JSON.stringify(isValid.errors)}`);
    }
  }
  assert(whole >= 8, `only ${whole} of 15 came to an end`);
});

test("a stop text and a schema together are refused, as is a keyword that cannot be kept to", async () => {
  const at = { base, prompt: sky, adapters: [] };
  const both = ask("generate", { ...at, sampling: { ...greedy, stop: ["}"], jsonSchema: true } });
  await assert.rejects(both, failure("bad-request", "stop text", "JSON"));
  const pattern = ask("generate", {
    ...at,
    sampling: { ...greedy, jsonSchema: { type: "string", pattern: "a" } },
  });
  await assert.rejects(pattern, failure("unsupported", "pattern"));
});

test("a prompt is shown as the model reads it, and counted", async () => {
  const prompt: Prompt = {
    kind: "chat",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi!" },
    ],
  };
  const { text, tokens, count, contextLength, toolFormat } = await ask("renderPrompt", {
    base,
    prompt,
  });
  assert.equal(text, "<|bos|><|system|>Be brief.<|end|><|user|>Hi!<|end|><|assistant|>");
  assert.equal(tokens.map((token) => token.text).join(""), text);
  assert.deepEqual([count, contextLength, toolFormat], [tokens.length, 256, null]);
  assert.deepEqual(await ask("countTokens", { base, prompt }), { count });
  const plain = await ask("countTokens", { base, prompt: { kind: "text", text: "Hi!" } });
  assert(plain.count > 0 && plain.count < count);
});
