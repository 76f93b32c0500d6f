import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import type { JsonObject } from "../../../../extension/core/base/json.ts";
import { contextLength, rotaryTable } from "../../../../extension/core/models/rope.ts";
import { phi3Rotary } from "../../../../extension/core/models/phi3.ts";
import { failure, fixtures } from "../support.ts";

interface Truth {
  lengths: number[];
  cases: { name: string; config: JsonObject; attentionFactor: number; frequencies: number[][] }[];
}

const truth = JSON.parse(readFileSync(path.join(fixtures, "rope.json"), "utf8")) as Truth;

const configOf = (raw: JsonObject) => ({
  file: "config.json",
  modelType: String(raw["model_type"]),
  architecture: "",
  raw,
});

for (const { name, config, attentionFactor, frequencies } of truth.cases) {
  void test(`frequencies are transformers': ${name}`, () => {
    const own = configOf(config);
    const table =
      own.modelType === "phi3" ? phi3Rotary(own, 16) : rotaryTable(own, { headDim: 16 });
    close([table.attentionFactor], [attentionFactor]);
    truth.lengths.forEach((length, i) => {
      close([...table.frequencies(length)], frequencies[i] as number[]);
    });
  });
}

function close(own: number[], wanted: number[]): void {
  assert.equal(own.length, wanted.length);
  wanted.forEach((value, i) => {
    const difference = Math.abs((own[i] as number) - value);
    assert(difference <= 4e-7 * Math.abs(value), `${own[i]} instead of ${value}`);
  });
}

const refused: [name: string, rope: JsonObject, code: "unsupported" | "bad-file", word: string][] =
  [
    ["a type that is not known", { rope_type: "spiral" }, "unsupported", "spiral"],
    ["a scaling without its factor", { rope_type: "linear" }, "bad-file", "factor"],
    [
      "longrope with factors of another size",
      { rope_type: "longrope", short_factor: [1], long_factor: [1] },
      "bad-file",
      "short_factor",
    ],
    [
      "a part of each head in a family that turns whole ones",
      { rope_type: "linear", factor: 2, partial_rotary_factor: 0.5 },
      "unsupported",
      "partial_rotary_factor",
    ],
  ];

for (const [name, rope_parameters, code, word] of refused) {
  void test(`refused by name: ${name}`, () => {
    const config = configOf({ model_type: "llama", rope_parameters });
    assert.throws(() => rotaryTable(config, { headDim: 16 }), failure(code, word));
  });
}

void test("a context that was stretched is as long as its scaling makes it", () => {
  const lengthOf = (rope_scaling: JsonObject): number =>
    contextLength(configOf({ model_type: "llama", max_position_embeddings: 64, rope_scaling }));
  assert.equal(lengthOf({ type: "linear", factor: 4 }), 256);
  assert.equal(lengthOf({ type: "dynamic", factor: 2 }), 128);
  assert.equal(lengthOf({ type: "yarn", factor: 4, original_max_position_embeddings: 32 }), 128);
  assert.equal(lengthOf({ rope_type: "llama3", factor: 8 }), 64);
});
