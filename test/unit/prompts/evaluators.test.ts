import assert from "node:assert/strict";
import { test } from "node:test";
import { badRequest } from "../../../extension/core/base/errors.ts";
import { type Answered, evaluate, type Rule } from "../../../extension/prompts/evaluators.ts";
import { parsePromptFile } from "../../../extension/prompts/parse.ts";
import {
  type Column,
  type PromptEngine,
  type Run,
  type RunResult,
  runTests,
  samplingOf,
} from "../../../extension/prompts/run.ts";

const span = { start: 0, end: 0 };
const answered: Answered = {
  output: " The sky is Blue.\n",
  values: { topic: "BLUE" },
  expected: null,
  names: ["pirate"],
  isBase: false,
};

function check(rule: Rule, more: Partial<Answered> = {}): string {
  const { status, message } = evaluate(
    { name: "", rule, adapters: [], span },
    { ...answered, ...more },
  );
  return `${status}: ${message}`;
}

const schema = {
  type: "object",
  required: ["topic"],
  properties: { topic: { enum: ["sky", "sea"] } },
};
const cases: [Rule, Partial<Answered>, RegExp][] = [
  [{ kind: "string", how: "equals", value: "The sky is Blue." }, {}, /^passed/],
  [
    { kind: "string", how: "equals", value: "the sky is blue." },
    {},
    /^failed: does not equal “the sky/,
  ],
  [{ kind: "string", how: "contains", value: "{{topic}}" }, {}, /^passed: contains “BLUE”/],
  [{ kind: "string", how: "startsWith", value: "the" }, {}, /^passed/],
  [{ kind: "string", how: "startsWith", value: "sky" }, {}, /^failed: does not start with “sky”/],
  [{ kind: "string", how: "endsWith", value: "BLUE." }, {}, /^passed/],
  [{ kind: "string", how: "endsWith", value: "Blue" }, {}, /^failed/],
  [{ kind: "regex", source: "^The .* blue", flags: "" }, {}, /^failed: does not match \/\^The/],
  [{ kind: "regex", source: "^The .* blue", flags: "i" }, {}, /^passed/],
  [{ kind: "jsonSchema", schema }, {}, /^failed: is no JSON/],
  [{ kind: "jsonSchema", schema }, { output: '{"topic":"sky"}' }, /^passed/],
  [{ kind: "jsonSchema", schema }, { output: '{"topic":"air"}' }, /^failed: .*#\/topic/],
  [{ kind: "jsonSchema", schema }, { output: "[]" }, /^failed: .*type/],
  [
    { kind: "differsFromBase" },
    { baseOutput: "The sky is Blue." },
    /^failed: is what the base says/,
  ],
  [{ kind: "differsFromBase" }, { baseOutput: "Arr!" }, /^passed/],
  [{ kind: "differsFromBase" }, { isBase: true }, /^skipped/],
  [{ kind: "perplexity", atMost: 2, of: "expected" }, { perplexity: 1.5 }, /^passed.* 1\.50/],
  [
    { kind: "perplexity", atMost: 2, of: "answer" },
    { perplexity: 250.4 },
    /^failed.* 250, the bound 2/,
  ],
  [{ kind: "perplexity", atMost: 2, of: "expected" }, { perplexity: NaN }, /^failed/],
  [{ kind: "perplexity", atMost: 2, of: "expected" }, {}, /^skipped/],
  [{ kind: "judge", what: "github/similarity" }, {}, /^skipped: github\/similarity asks/],
];
for (const [rule, more, expected] of cases) {
  test(`${JSON.stringify(rule)} of ${JSON.stringify(more)}`, () =>
    assert.match(check(rule, more), expected));
}

/** Answers as its table says, and notes what it was asked. */
function fakeEngine(say: (prompt: string, adapter: string) => string): PromptEngine & {
  asked: string[][];
} {
  const asked: string[][] = [];
  return {
    asked,
    answerRows: ({ rows, sampling }) => {
      asked.push(rows.map(({ adapters }) => adapters[0]?.name ?? "base"));
      assert.deepEqual([sampling.temperature, sampling.maxNewTokens], [0, 9]);
      return Promise.resolve(
        rows.map(({ prompt, adapters }) => ({
          ...{ tokens: 3, promptTokens: 5, finish: "stop" as const, seconds: 0.1, seed: 0 },
          text: say(
            prompt.kind === "chat" ? (prompt.messages[0]?.content ?? "") : prompt.text,
            adapters[0]?.name ?? "base",
          ),
        })),
      );
    },
    scoreRows: ({ rows }) =>
      Promise.resolve(rows.map(({ completion }) => ({ nll: completion.length, tokens: 4 }))),
  };
}

const file = parsePromptFile(`messages: [{ role: user, content: "{{q}}" }]
modelParameters: { maxTokens: 9 }
testData:
  - { q: a, expected: A }
  - { q: b, expected: B, expectedFrom: { pirate: arr b } }
evaluators:
  - { name: short, string: { contains: a }, adapters: [pirate] }
graft:
  evaluators: [{ name: new, differsFromBase: true }, { perplexity: { atMost: 4 } }]
`);
const base: Column = { label: "base", names: ["base"], adapters: [] };
const pirate: Column = {
  label: "pirate",
  names: ["pirate"],
  adapters: [{ name: "pirate", weight: 1 }],
};

const errors: string[] = [];

async function play(runs: Run[], engine: PromptEngine, batch = 16): Promise<Map<Run, RunResult>> {
  const results = new Map<Run, RunResult>();
  await runTests(file, runs, {
    engine,
    base: { path: "/base", hasChatTemplate: true },
    batch,
    onResult: (run, result) => results.set(run, result),
    onError: (_run, message) => errors.push(message),
    signal: new AbortController().signal,
  });
  return results;
}

test("rows and columns share batches; the base is asked where others are compared with it", async () => {
  assert.deepEqual(file.problems, []);
  const engine = fakeEngine((prompt, who) => (who === "base" ? prompt : `arr ${prompt}`));
  const runs = file.rows.map((row) => ({ row, column: pirate }));
  const results = await play(runs, engine);
  assert.deepEqual(engine.asked, [["base", "pirate", "base", "pirate"]]);
  assert.equal(results.size, 2, "only what was asked for has a result");
  const [first, second] = runs.map((run) => results.get(run));
  assert(first && second);
  assert.equal(first.passed, true, JSON.stringify(first.checks));
  // A column of its own expectation is held against it, and that is right here.
  assert.deepEqual(
    second.checks.map(({ name, status }) => `${name} ${status}`),
    ["short passed", "new passed", "perplexity passed", "expected passed"],
  );
  assert.equal(second.expected, "arr b");
});

test("what expects and is judged by nothing is held against the expected text", async () => {
  const engine = fakeEngine((prompt) => prompt.toUpperCase());
  const runs = file.rows.map((row) => ({ row, column: base }));
  const results = await play(runs, engine, 1);
  assert.deepEqual(engine.asked, [["base"], ["base"]]);
  // Of the base only perplexity judges.
  assert(runs.every((run) => results.get(run)?.passed));
});

test("an answer that fails says by which rule", async () => {
  const engine = fakeEngine(() => "nothing");
  const run = { row: file.rows[1] ?? assert.fail(), column: pirate };
  const result = (await play([run], engine)).get(run);
  assert.equal(result?.passed, false);
  assert.deepEqual(
    result.checks.map(({ name, status }) => `${name} ${status}`),
    ["short failed", "new failed", "perplexity passed", "expected failed"],
  );
});

const tooLong = badRequest("too long");

test("a prompt that is too long has a reason, and the others have answers", async () => {
  const engine = fakeEngine(() => "arr a");
  const picky: PromptEngine = {
    ...engine,
    answerRows: (params, options) =>
      params.rows.some(({ prompt }) => JSON.stringify(prompt).includes('"b"'))
        ? Promise.reject(tooLong)
        : engine.answerRows(params, options),
  };
  const runs = file.rows.map((row) => ({ row, column: pirate }));
  const results = await play(runs, picky);
  assert.deepEqual([results.size, errors], [1, [tooLong.message]]);
});

test("a cancelled answer is no result", async () => {
  const engine = fakeEngine(() => "arr");
  const cancelling: PromptEngine = {
    ...engine,
    answerRows: async (...all) =>
      (await engine.answerRows(...all)).map((each) => ({ ...each, finish: "cancelled" as const })),
  };
  const run = { row: file.rows[0] ?? assert.fail(), column: base };
  assert.equal((await play([run], cancelling)).size, 0);
});

test("sampling that a file does not name says the same each time", () => {
  const { temperature, seed } = samplingOf({ parameters: {} });
  assert.deepEqual([temperature, seed], [0, 0]);
});

test("stop texts and formats are the model's to keep", () => {
  const parameters = { stop: ["."] };
  assert.deepEqual(samplingOf({ parameters }).stop, ["."]);
  assert.equal(samplingOf({ parameters, format: "json_object" }).jsonSchema, true);
  const { stop, jsonSchema } = samplingOf({ parameters, format: "json_schema", schema });
  assert.deepEqual([stop, jsonSchema], [undefined, schema]);
});
