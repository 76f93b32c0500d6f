import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { History } from "../../../extension/playground/history.ts";
import { markdownOf } from "../../../extension/playground/markdown.ts";
import { type Memory, Presets } from "../../../extension/playground/presets.ts";
import { promptFileOf } from "../../../extension/playground/promptFile.ts";
import { pythonOf } from "../../../extension/playground/python.ts";
import { columnsRequest, scriptOf } from "../../../extension/playground/requests.ts";
import { typescriptOf } from "../../../extension/playground/typescript.ts";
import { parsePromptFile } from "../../../extension/prompts/parse.ts";
import type {
  Answer,
  PlaygroundSettings,
  SavedConversation,
} from "../../../extension/protocol/playgroundContract.ts";
import { emptyState, type State } from "../../../extension/state.ts";

const settings: PlaygroundSettings = {
  system: "Be kind.",
  sampling: {
    ...{ maxNewTokens: 64, temperature: 0.5, topP: 0.9, topK: 0, repetitionPenalty: 1 },
    seed: 42,
  },
  stop: ["END", "\n\n"],
  json: { isOn: true, schema: '{"type": "object"}' },
};

const answer = (text: string, state: Answer["state"] = "stop"): Answer => ({
  ...{ label: "graft-sample", text, state, tokens: 1, tokensPerSecond: 1, seconds: 1, seed: 42 },
  ...{ problem: "", details: [], changes: [] },
});

function conversation(id: string, prompt = "What colour is the sky?"): SavedConversation {
  return {
    id,
    changed: Number(id.replace(/\D/g, "")) || 1,
    columns: [
      { id: "c1", adapters: [] },
      {
        id: "c2",
        adapters: [
          { name: "pirate", weight: 0.5, path: "/a/pirate" },
          { name: "json", weight: 1, path: "/a/json" },
        ],
      },
    ],
    settings,
    exchanges: [
      { id: "e1", prompt, answers: { c1: answer("Blue."), c2: answer("Arr | blue") } },
      { id: "e2", prompt: "And\nthe sea?", answers: { c1: answer("Blue too.") } },
    ],
  };
}

const state = {
  ...emptyState,
  base: { name: "graft-sample", path: "/models/graft-sample" },
  loaded: [
    { name: "pirate", path: "/real/pirate", method: "LoRA" },
    { name: "json", path: "/real/json", method: "LoRA" },
  ],
} as unknown as State;

test("the history keeps, finds, opens and forgets, and takes no id that leads elsewhere", async () => {
  const folder = await mkdtemp(join(tmpdir(), "graft-history-"));
  try {
    const history = new History(join(folder, "conversations"));
    assert.deepEqual(await history.list(), []);
    await history.keep(conversation("a1"));
    await history.keep(conversation("a3", "Where does a bee live?"));
    await history.keep(conversation("a2"));
    assert.deepEqual(
      (await history.list()).map(({ id }) => id),
      ["a3", "a2", "a1"],
    );
    const [bee] = await history.list("BEE live");
    assert.deepEqual(bee, {
      ...{ id: "a3", changed: 3, title: "Where does a bee live?", exchanges: 2 },
      columns: ["base", "pirate + json"],
    });
    assert.equal((await history.list("bee whale")).length, 0);
    assert.equal((await history.list("arr blue")).length, 3);
    assert.deepEqual(await history.open("a1"), conversation("a1"));
    await writeFile(join(folder, "secret.json"), JSON.stringify(conversation("x")));
    assert.equal(await history.open("../secret"), null);
    await history.keep({ ...conversation("a1"), id: "../evil" });
    assert.deepEqual((await readdir(folder)).sort(), ["conversations", "secret.json"]);
    await writeFile(join(folder, "conversations/broken.json"), "{");
    assert.equal((await history.list()).length, 3);
    await history.delete("a1");
    assert.equal(await history.open("a1"), null);
    assert.equal(await history.clear(), 3);
    assert.deepEqual(await history.list(), []);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the history is bounded: old conversations go, large ones lose what tokens could have been", async () => {
  const folder = await mkdtemp(join(tmpdir(), "graft-history-"));
  try {
    const history = new History(folder);
    for (let i = 1; i <= 203; i++) await history.keep(conversation(`n${i}`));
    assert.equal((await history.list()).length, 200);
    const large = conversation("large");
    const details = [
      { id: 1, text: "x".repeat(1_100_000), piece: "x", probability: 1, alternatives: [] },
    ];
    const [first] = large.exchanges;
    if (first) first.answers["c1"] = { ...answer("Blue."), details };
    await history.keep(large);
    const kept = await history.open("large");
    assert.deepEqual(kept?.exchanges[0]?.answers["c1"]?.details, []);
    assert.equal(kept?.exchanges[0]?.answers["c1"]?.text, "Blue.");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("presets are saved by name, replaced and deleted", async () => {
  const kept = new Map<string, unknown>();
  const memory: Memory = {
    get: (key) => kept.get(key),
    update: async (key, value) => void kept.set(key, structuredClone(value)),
  };
  const presets = new Presets(memory);
  const { columns } = conversation("a1");
  await presets.save({ name: "wild", columns, settings });
  await presets.save({ name: "calm", columns: [], settings });
  await presets.save({ name: "wild", columns: [], settings });
  const again = new Presets(memory);
  assert.deepEqual(
    again.list().map((each) => [each.name, each.columns.length]),
    [
      ["calm", 0],
      ["wild", 0],
    ],
  );
  assert.deepEqual(
    (await again.delete("calm")).map(({ name }) => name),
    ["wild"],
  );
});

test("a run is asked for with stop sequences and the schema, adapters by name alone", () => {
  const { columns } = conversation("a1");
  const asked = columns.map((column) => ({ ...column, messages: [] }));
  const request = columnsRequest({ run: "r", columns: asked, settings });
  assert.deepEqual(request.columns[1]?.adapters, [
    { name: "pirate", weight: 0.5 },
    { name: "json", weight: 1 },
  ]);
  assert.deepEqual(request.sampling.jsonSchema, { type: "object" });
  assert.ok(!("stop" in request.sampling));
  const any = columnsRequest({
    ...{ run: "r", columns: asked },
    settings: { ...settings, json: { isOn: true, schema: " " } },
  });
  assert.equal(any.sampling.jsonSchema, true);
  const stopped = { ...settings, json: { isOn: false, schema: "{" } };
  const free = columnsRequest({ run: "r", columns: asked, settings: stopped });
  assert.deepEqual(free.sampling.stop, ["END", "\n\n"]);
  assert.ok(!("jsonSchema" in free.sampling));
});

test("a column copied as a prompt file is read back as it was", () => {
  const file = parsePromptFile(promptFileOf(scriptOf(state, conversation("a1"), "c2")));
  assert.deepEqual(file.problems, []);
  assert.equal(file.model?.id, "graft-sample");
  assert.deepEqual(
    file.messages.map(({ role, content }) => `${role}: ${content}`),
    [
      "system: Be kind.",
      "user: What colour is the sky?",
      "assistant: Arr | blue",
      "user: And\nthe sea?",
    ],
  );
  const { maxNewTokens, temperature, topP, seed, stop } = file.parameters;
  assert.deepEqual([maxNewTokens, temperature, topP, seed], [64, 0.5, 0.9, 42]);
  assert.equal(stop, undefined);
  assert.equal(file.format, "json_schema");
  assert.deepEqual(file.schema, { type: "object" });
  assert.deepEqual(
    file.columns.map(({ parts }) => parts.map(({ adapter, weight }) => [adapter, weight])),
    [
      [
        ["pirate", 0.5],
        ["json", 1],
      ],
    ],
  );
  const free = { ...settings, json: { isOn: false, schema: "" } };
  const text = promptFileOf(scriptOf(state, { ...conversation("a1"), settings: free }, "c2"));
  assert.deepEqual(parsePromptFile(text).parameters.stop, ["END", "\n\n"]);
  const plain = { ...free, stop: [] };
  const bare = scriptOf(state, { ...conversation("a1"), settings: plain }, "c1");
  assert.deepEqual(Object.keys(parse(promptFileOf(bare)) as object), [
    ...["name", "model", "modelParameters", "messages"],
  ]);
});

test("a column copied as Python names its base, its adapters and their weights", () => {
  const free = { ...settings, json: { isOn: false, schema: "" } };
  const python = pythonOf(scriptOf(state, { ...conversation("a1"), settings: free }, "c2"));
  for (const line of [
    'base = "/models/graft-sample"',
    'model = PeftModel.from_pretrained(model, "/real/pirate", adapter_name="pirate")',
    'model.load_adapter("/real/json", adapter_name="json")',
    'model.add_weighted_adapter(["pirate", "json"], [0.5, 1], adapter_name="mix", combination_type="cat")',
    "    temperature=0.5,",
    '    stop_strings=["END", "\\n\\n"],',
    '    {"role": "user", "content": "And\\nthe sea?"},',
  ]) {
    assert.ok(python.includes(`\n${line}\n`), `${line}\nis not in\n${python}`);
  }
  const gpt2 = { ...state, base: { ...state.base, hasChatTemplate: false } } as State;
  const asText = pythonOf(scriptOf(gpt2, conversation("a1"), "c1"));
  assert.match(
    asText,
    /prompt = "\\n\\n"\.join.*\ninputs = tokenizer\(prompt, return_tensors="pt"\)/,
  );
  assert.doesNotMatch(asText, /apply_chat_template/);
  const bare = pythonOf(scriptOf(state, conversation("a1"), "c1"));
  assert.ok(!bare.includes("peft import"));
});

test("a column copied as TypeScript loads its adapters and answers with their weights", () => {
  const code = typescriptOf(scriptOf(state, conversation("a1"), "c2"));
  for (const line of [
    'const model = new PeftModel(await loadBaseModel("/models/graft-sample"));',
    'await model.loadAdapter("/real/pirate", { adapterName: "pirate" });',
  ]) {
    assert.ok(code.includes(`\n${line}\n`), `${line}\nis not in\n${code}`);
  }
  assert.match(code, /"name": "pirate",\s+"weight": 0.5/);
  assert.match(code, /"jsonSchema": \{\s+"type": "object"/);
});

test("a comparison copied as Markdown is a table, and bars in answers stay in their cell", () => {
  const markdown = markdownOf(conversation("a1"), "graft-sample");
  assert.match(markdown, /^# graft-sample: base \| pirate \+ json$/m);
  assert.match(markdown, /^\| graft-sample \| Arr \\\| blue \|$/m);
  assert.match(markdown, /^## And the sea\?$/m);
});
