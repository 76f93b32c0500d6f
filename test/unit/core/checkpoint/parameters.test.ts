import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModuleTree } from "../../../../extension/core/checkpoint/modules.ts";
import {
  resolveParameters,
  wrapperPaths,
} from "../../../../extension/core/checkpoint/parameters.ts";

const tree: ModuleTree = {
  modules: [
    { kind: "embedding", path: "model.embed_tokens", in: 10, out: 4 },
    { kind: "linear", path: "model.layers.0.up_proj", in: 4, out: 8, hasBias: true },
    { kind: "linear", path: "model.layers.1.up_proj", in: 4, out: 8, hasBias: false },
    { kind: "norm", path: "model.norm", out: 4 },
  ],
  outputEmbedding: null,
};

const cases: [names: string[], chosen: string[]][] = [
  [["up_proj.weight"], ["model.layers.0.up_proj.weight", "model.layers.1.up_proj.weight"]],
  [["model.layers.1.up_proj.weight"], ["model.layers.1.up_proj.weight"]],
  [["1.up_proj.weight"], ["model.layers.1.up_proj.weight"]],
  [["proj.weight"], []],
  [["up_proj"], []],
  [["up_proj.bias"], ["model.layers.0.up_proj.bias"]],
  [
    ["norm.weight", "embed_tokens.weight"],
    ["model.embed_tokens.weight", "model.norm.weight"],
  ],
  [[], []],
];

for (const [names, chosen] of cases) {
  void test(`parameters called ${names.join(", ") || "nothing"}`, () => {
    const found = resolveParameters(tree, names);
    assert.deepEqual(
      found.map(({ name }) => name),
      chosen,
    );
  });
}

void test("of two parameters of one module the first lies in the inner wrapper", () => {
  const found = resolveParameters(tree, ["0.up_proj.weight", "0.up_proj.bias"]);
  assert.deepEqual(
    found.map(({ parameter, stored, shape }) => [parameter, stored, shape]),
    [
      ["weight", "model.layers.0.up_proj.base_layer", [8, 4]],
      ["bias", "model.layers.0.up_proj", [8]],
    ],
  );
  assert.deepEqual(wrapperPaths("experts", 3), [
    "experts.base_layer.base_layer",
    "experts.base_layer",
    "experts",
  ]);
});
