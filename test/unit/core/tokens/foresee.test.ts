import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { JsonConstraint } from "../../../../extension/core/tokens/json/jsonConstraint.ts";
import { greedy, type Sampling } from "../../../../extension/core/tokens/sampler.ts";
import type { Vocabulary } from "../../../../extension/core/tokens/vocabulary.ts";
import { root } from "../support.ts";

/** Every byte is a token; 0 is the end. */
const vocabulary: Vocabulary = {
  size: 257,
  bytesOf: (id) => (id === 0 ? null : Uint8Array.of(id - 1)),
  label: String,
  spelling: String,
};
const encode = (text: string): number[] =>
  [...new TextEncoder().encode(text)].map((byte) => byte + 1);

const person = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 3 },
    colour: { enum: ["red", "reddish", "blue"] },
    size: { type: "integer" },
    tags: { type: "array", items: { type: "string" }, minItems: 2, maxItems: 2 },
    größe: { const: { cm: 180 } },
  },
  required: ["name", "colour"],
  additionalProperties: false,
};
const open = { type: "object", properties: { a: true, b: true }, additionalProperties: true };

const foreseen: [what: string, schema: unknown, text: string, next: string][] = [
  ["where an answer begins", person, "", '{"name": "'],
  ["inside a name", person, '{"na', 'me": "'],
  ["nothing inside of free text", person, '{"name": "a', ""],
  ["the end of a text that is full", person, '{"name": "abc', '", "colour": "'],
  ["up to where values part", person, '{"name": "a", "colour": "r', "ed"],
  ["nothing where one value begins another", person, '{"name": "a", "colour": "red', ""],
  ["the one value that is left", person, '{"name": "a", "colour": "b', 'lue", "size":'],
  ["nothing of a number", person, '{"size": 1', ""],
  ["the first name that is left", person, '{"colour": "blue", "name": "abc"', ', "size":'],
  ["items that must be there", person, '{"tags": ["a"', ', "'],
  ["the end of items", person, '{"tags": ["a", "b"', '], "name": "'],
  ["names and values of other letters", person, '{"gr', 'öße": {"cm":180}, "name": "'],
  ["no blanks where there are none", person, '{"size":1,"name":"abc', '","colour":"'],
  ["lines and indents", person, '{\n  "size": 1,', '\n  "name": "'],
  [
    "the end of lines",
    { type: "object", properties: { a: { const: 1 } }, additionalProperties: false },
    '{\n  "a": 1',
    "\n}",
  ],
  ["known names of an open object", open, "{", '"a":'],
  ["nothing when those are used", open, '{"a": 1, "b": 2', ""],
  ["nothing of any JSON", true, "", ""],
];

for (const [what, schema, text, next] of foreseen) {
  test(`foreseen: ${what}`, () => {
    const constraint = new JsonConstraint(schema, vocabulary, new Set([0]), { encode });
    for (const id of encode(text)) {
      assert(constraint.allows(id));
      constraint.take(id);
    }
    const ids = constraint.foresee();
    assert.equal(new TextDecoder().decode(Uint8Array.from(ids, (id) => id - 1)), next);
  });
}

test("foreseen alike by a tokenizer that puts a blank before each text", () => {
  const blank = (text: string): number[] => encode(` ${text}`);
  const constraint = new JsonConstraint(person, vocabulary, new Set([0]), { encode: blank });
  assert.deepEqual(constraint.foresee(), encode('{"name": "'));
  for (const id of encode('{"na')) constraint.take(id);
  assert.deepEqual(constraint.foresee(), encode('me": "'));
});

const schema = {
  type: "object",
  properties: {
    topic: { enum: ["greeting", "colour", "sound", "math"] },
    answer: { type: "string", maxLength: 12 },
    certain: { type: "boolean" },
    kind: { const: "short" },
  },
  required: ["topic", "answer", "certain", "kind"],
  additionalProperties: false,
} as const;
const samplings: Record<string, Sampling> = {
  greedy: { ...greedy, jsonSchema: schema },
  sampled: { ...greedy, temperature: 0.8, seed: 5, jsonSchema: schema },
};

for (const [what, sampling] of Object.entries(samplings)) {
  test(`${what}: a JSON answer with its names read ahead is the plain one`, async (t) => {
    const model = new PeftModel(await loadBaseModel(path.join(root, "media/sample/base")));
    t.after(() => model.dispose());
    await model.loadAdapter(path.join(root, "media/sample/adapters/lora-json"), {
      adapterName: "json",
    });
    const messages = [{ role: "user", content: "What colour is the sky?" }] as const;
    const say = (speculation: "off" | { maxDraft: number }): ReturnType<typeof model.answer> =>
      model.answer(
        { kind: "chat", messages },
        { sampling, speculation, maxNewTokens: 80, adapters: [{ name: "json", weight: 1 }] },
      );
    const plain = await say("off");
    const ahead = await say({ maxDraft: 7 });
    assert.deepEqual(ahead.ids, plain.ids);
    assert.deepEqual(Object.keys(JSON.parse(ahead.text) as object), Object.keys(schema.properties));
    const { drafted, accepted } = ahead.speculation;
    assert(accepted > 15, `${accepted} of ${drafted}`);
  });
}
