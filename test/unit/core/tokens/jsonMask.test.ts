import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { JsonConstraint } from "../../../../extension/core/tokens/json/jsonConstraint.ts";
import type { Vocabulary } from "../../../../extension/core/tokens/vocabulary.ts";

const end = 0;
const random = seededRandom(11);
const below = (count: number): number => Math.floor(random() * count);
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)] as T;

/** Pieces that texts of JSON are made of, so that tokens cross the parts of one in many ways. */
const parts = [
  ...[
    '{"',
    '"',
    '":',
    '": ',
    ",",
    ", ",
    '",',
    '"}',
    "}",
    "]",
    "[",
    " ",
    "\n  ",
    "\\",
    "\\u00e",
    "0",
    "1",
  ],
  ...[
    "-",
    ".",
    "e",
    "+",
    "true",
    "fal",
    "null",
    "a",
    "ab",
    "name",
    "kind",
    "red",
    "ü",
    "\xf0\x9f",
    "\x80",
    "\t",
  ],
];

const encoder = new TextEncoder();

/** Byte strings of one to five parts, some of them twice, and every byte. */
const pieces: readonly Uint8Array[] = [
  new Uint8Array(),
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...Array.from({ length: 1200 }, () =>
    encoder.encode(Array.from({ length: 1 + below(5) }, () => oneOf(parts)).join("")),
  ),
  Uint8Array.of(0xf0, 0x9f),
];

const vocabulary: Vocabulary = {
  size: pieces.length,
  bytesOf: (id) => (id === end ? null : (pieces[id] ?? null)),
  label: String,
  spelling: String,
};

function randomSchema(depth: number): unknown {
  const nested = depth > 0 ? [list, dictionary, dictionary, choice] : [];
  return oneOf([text, number, fixed, () => true, ...nested])(depth - 1);
}

function text(): unknown {
  const minLength = below(3);
  return { type: "string", ...(below(2) && { minLength, maxLength: minLength + below(6) }) };
}

function number(): unknown {
  return { type: oneOf(["integer", "number"]), ...(below(2) && { minimum: 0 }) };
}

function fixed(): unknown {
  return { enum: ["red", "reddish", 1, 12, null, ["a", { b: "ü" }]].slice(below(4)) };
}

function list(depth: number): unknown {
  return {
    type: "array",
    items: randomSchema(depth),
    ...(below(2) && { minItems: 1, maxItems: 2 }),
  };
}

function dictionary(depth: number): unknown {
  const names = ["a", "ab", "name", 'n"\n', "ü"].slice(below(4));
  return {
    type: "object",
    properties: Object.fromEntries(names.map((name) => [name, randomSchema(depth)])),
    required: names.slice(below(2)),
    additionalProperties: oneOf([false, true, { type: "string", maxLength: 2 }]),
  };
}

function choice(depth: number): unknown {
  return { anyOf: [text(), fixed(), randomSchema(depth)] };
}

for (let seed = 0; seed < 40; seed++) {
  const schema = randomSchema(3);
  test(`a mask allows what its tokens alone allow: ${JSON.stringify(schema).slice(0, 120)}`, () => {
    let states = 0;
    for (let walk = 0; walk < 3; walk++) {
      const constraint = new JsonConstraint(schema, vocabulary, new Set([end]));
      for (let step = 0; step < 20 && !constraint.isFinal; step++) {
        const mask = constraint.mask();
        const allowed = pieces.flatMap((_, id) => (constraint.allows(id) ? [id] : []));
        const masked = [...mask.keys()].filter((id) => mask[id] === 1);
        assert.deepEqual(masked, allowed);
        // Longer tokens lead to more kinds of places.
        const next = [...allowed].sort((a, b) => weight(b) - weight(a)).slice(0, 40);
        constraint.take(oneOf(next));
        states++;
      }
    }
    assert(states > 2);
  });
}

function weight(id: number): number {
  return (pieces[id]?.length ?? 0) + 4 * random();
}
