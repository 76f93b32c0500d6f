import assert from "node:assert/strict";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { JsonConstraint } from "../../../../extension/core/tokens/json/jsonConstraint.ts";
import { createSampler } from "../../../../extension/core/tokens/sampler.ts";
import type { Vocabulary } from "../../../../extension/core/tokens/vocabulary.ts";
import { failure } from "../support.ts";

const end = 0;
/** All bytes, and pieces that cross the parts of a JSON text. */
const pieces: (readonly number[])[] = [
  [],
  ...Array.from({ length: 256 }, (_, byte) => [byte]),
  ...[
    '{"',
    '":',
    '": "',
    '",',
    '", "',
    '"}',
    '"}]',
    "}]",
    "}}",
    "[[",
    "]",
    "],",
    ', "',
    "1.",
    "e5",
  ],
  ...["true", "null", "fal", "se}", "  ", "\n  ", "name", 'na"', "a,b", '\\"', "\\u00", "é", "😀"],
  ...["12", "0.5", "-1", '{"a":1}', '"red"', "red", "blue", "green", "kind", "size", "lo"],
].map((piece) => (typeof piece === "string" ? [...new TextEncoder().encode(piece)] : piece));

const vocabulary: Vocabulary = {
  size: pieces.length,
  bytesOf: (id) => (id === end ? null : Uint8Array.from(pieces[id] ?? [])),
  label: (id) => String(id),
  spelling: (id) => String(id),
};

/** What a model with random logits says under a schema; null when it does not come to an end. */
function say(schema: unknown, seed: number): string | null {
  const constraint = new JsonConstraint(schema, vocabulary, new Set([end]));
  const random = seededRandom(seed);
  const sampling = { temperature: seed % 3, topP: 0.95, topK: 0, repetitionPenalty: 1, seed };
  const sampler = createSampler(sampling);
  const bytes: number[] = [];
  for (let step = 0; step < 400; step++) {
    const logits = Float32Array.from({ length: vocabulary.size }, (_, id) => {
      // Ends are likely, so that most values do end.
      const isEnd = id === end || [...']}"'].includes(String.fromCharCode(pieces[id]?.[0] ?? 0));
      return random() * 8 + (isEnd ? 5 : 0);
    });
    const mask = constraint.mask();
    assert(
      mask.every((allowed, id) => (allowed === 1) === constraint.allows(id)),
      "the mask and single tokens disagree",
    );
    const id = sampler.next(logits, new Set(), constraint);
    if (id === end) return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
    bytes.push(...(pieces[id] as number[]));
    constraint.take(id);
    if (constraint.isFinal) {
      return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
    }
  }
  return null;
}

const person = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 2, maxLength: 5 },
    size: { type: "integer", minimum: 1, maximum: 12 },
    kind: { enum: ["red", "blue", 1, null, ['a "b"']] },
    'a "b"\n': { type: ["boolean", "null"] },
  },
  required: ["name", "kind"],
  additionalProperties: false,
};

const schemas: Record<string, unknown> = {
  "any JSON": true,
  "an object of any kind": { type: "object" },
  "a number": { type: "number" },
  "an integer": { type: "integer" },
  "one that is not negative": { type: "number", minimum: 0 },
  "a positive integer": { type: "integer", exclusiveMinimum: 0 },
  "integers within bounds": { type: "integer", exclusiveMinimum: -3, maximum: 110 },
  "literals of which one begins another": { enum: [1, 12, 120, "1"] },
  "a constant": { const: { a: [1, "ü"] } },
  "an object": person,
  "other names": {
    type: "object",
    properties: { lo: { const: 1 } },
    additionalProperties: { type: "string" },
  },
  "bounded arrays": { type: "array", items: { type: "boolean" }, minItems: 2, maxItems: 3 },
  tuples: {
    type: "array",
    prefixItems: [{ type: "integer" }, { type: "string" }],
    items: { type: "null" },
    minItems: 2,
  },
  alternatives: {
    anyOf: [{ type: "string", maxLength: 3 }, { type: "array", items: person }, { type: "null" }],
  },
  "alternatives that are apart": {
    oneOf: [
      {
        type: "object",
        properties: { kind: { const: "a" }, n: { type: "integer" } },
        required: ["kind"],
      },
      { type: "object", properties: { kind: { const: "b" } }, required: ["kind"] },
      { type: "string" },
    ],
  },
  recursion: {
    $defs: {
      node: {
        type: "object",
        properties: {
          size: { type: "integer" },
          kind: { type: "array", items: { $ref: "#/$defs/node" } },
        },
        required: ["size"],
        additionalProperties: false,
      },
    },
    allOf: [{ $ref: "#/$defs/node" }],
  },
};

for (const [what, schema] of Object.entries(schemas)) {
  test(`random logits give valid JSON: ${what}`, () => {
    const isValid = new Ajv2020({ strict: false }).compile(schema as object);
    const texts = Array.from({ length: 60 }, (_, seed) => say(schema, seed)).filter(
      (text) => text !== null,
    );
    assert(texts.length >= 20, `only ${texts.length} of 60 came to an end`);
    for (const text of texts) {
      const value: unknown = JSON.parse(text);
      assert(isValid(value), `${text}: ${JSON.stringify(isValid.errors)}`);
    }
    if (!JSON.stringify(schema).includes('"const":{')) {
      assert(new Set(texts).size > 1, "every seed says the same");
    }
  });
}

/** Whether a whole value may be written. */
function isAllowed(schema: unknown, text: string): boolean {
  const constraint = new JsonConstraint(schema, vocabulary, new Set([end]));
  for (const byte of new TextEncoder().encode(text)) {
    if (!constraint.allows(byte + 1)) return false;
    constraint.take(byte + 1);
  }
  return constraint.allows(end);
}

test("names in any order, each once; required ones must be there", () => {
  const open = { type: "object", required: ["x"] };
  assert(isAllowed(open, '{"a":1, "x" : [ ]}'));
  assert(!isAllowed(open, '{"a":1}'));
  assert(isAllowed(person, '{\n  "kind": 1,\n  "name": "ab"\n}'));
  assert(!isAllowed(person, '{"name":"ab","name":"ab","kind":1}'));
  assert(!isAllowed(person, '{"name":"ab","kind":1,"more":1}'));
  assert(!isAllowed(person, '{"name":"ab","kind":2}'));
});

test("numbers stay finite, strings whole characters", () => {
  assert(isAllowed(true, "-1.5e-07") && isAllowed(true, '"\\u00e9\\n"'));
  for (const text of [
    "01",
    "1e999",
    "- 1",
    '"\\ud83d"',
    '"\\x"',
    '"\n"',
    "[1,]",
    '{"a":1,}',
    "tru",
  ]) {
    assert(!isAllowed(true, text), text);
  }
});

const refused: [what: string, schema: unknown, ...fragments: string[]][] = [
  ["a pattern", { type: "string", pattern: "^a$" }, "pattern", "#"],
  [
    "a format",
    { properties: { at: { type: "string", format: "date" } } },
    "format",
    "#/properties/at",
  ],
  ["not", { not: { type: "string" } }, '"not"'],
  ["uniqueItems", { type: "array", uniqueItems: true }, "uniqueItems"],
  ["bounds of a number", { type: "number", maximum: 5 }, "maximum"],
  ["two schemas at once", { allOf: [{ type: "string" }, { minLength: 3 }] }, "allOf"],
  ["what stands beside anyOf", { anyOf: [{ type: "string" }], minLength: 3 }, "minLength", "anyOf"],
  ["a schema elsewhere", { $ref: "https://example.com/x" }, "example.com"],
  [
    "alternatives that overlap",
    { oneOf: [{ type: "number" }, { type: "integer" }] },
    "oneOf",
    "0 and 1",
  ],
  [
    "alternatives that are open to one another",
    {
      oneOf: ["a", "b"].map((name) => ({
        type: "object",
        properties: { [name]: { type: "string" } },
        required: [name],
      })),
    },
    "oneOf",
  ],
];
for (const [what, schema, ...fragments] of refused) {
  test(`${what} cannot be kept to, and is refused by name`, () => {
    assert.throws(
      () => new JsonConstraint(schema, vocabulary, new Set()),
      failure("unsupported", ...fragments),
    );
  });
}

const wrong: [what: string, schema: unknown, ...fragments: string[]][] = [
  ["no schema", 5, "#"],
  ["a type that there is not", { type: "text" }, "text"],
  ["no value", { enum: [1, 2], type: "string" }, "nothing fits"],
  [
    "a required name that is forbidden",
    { properties: { a: true }, required: ["b"], additionalProperties: false },
    "b",
  ],
  ["a reference to itself", { $ref: "#" }, "itself"],
  ["a choice of itself", { anyOf: [{ $ref: "#" }, { type: "null" }] }, "itself"],
  ["a reference to nothing", { $ref: "#/$defs/x" }, "#/$defs/x"],
  ["too few items", { type: "array", maxItems: 1, minItems: 2 }, "maxItems"],
];
for (const [what, schema, ...fragments] of wrong) {
  test(`a schema with ${what} is refused`, () => {
    assert.throws(
      () => new JsonConstraint(schema, vocabulary, new Set()),
      failure("bad-request", ...fragments),
    );
  });
}

test("a mask of 150,000 tokens is made in the time of a token", () => {
  const random = seededRandom(7);
  const words = Array.from({ length: 150_000 }, () => {
    const letters = Array.from(
      { length: 2 + Math.floor(random() * 8) },
      () => 97 + Math.floor(random() * 26),
    );
    return Uint8Array.from(random() < 0.5 ? [32, ...letters] : letters);
  });
  const large: Vocabulary = {
    size: words.length + 257,
    bytesOf: (id) => (id < 257 ? vocabulary.bytesOf(id) : (words[id - 257] ?? null)),
    label: String,
    spelling: String,
  };
  const constraint = new JsonConstraint(person, large, new Set([end]));
  const text = '{"name": "abcd", "kind": "red", "size": 12}';
  constraint.mask();
  const times: number[] = [];
  for (const byte of new TextEncoder().encode(text)) {
    constraint.take(byte + 1);
    const started = performance.now();
    constraint.mask();
    times.push(performance.now() - started);
  }
  assert(constraint.isFinal);
  times.sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)] as number;
  assert(median < 10, `half of the masks take more than ${median} ms`);
});
