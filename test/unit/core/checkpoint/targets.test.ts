import assert from "node:assert/strict";
import { test } from "node:test";
import {
  containerPaths,
  layerIndex,
  type ModuleInfo,
  type ModuleTree,
} from "../../../../extension/core/checkpoint/modules.ts";
import {
  matchPattern,
  resolveTargets,
  type TargetFields,
} from "../../../../extension/core/checkpoint/targets.ts";
import { failure } from "../support.ts";

const linear = (path: string): ModuleInfo => {
  return { kind: "linear", path, in: 4, out: 4, hasBias: false };
};

const layer = (index: number): ModuleInfo[] => [
  { kind: "norm", path: `model.layers.${index}.input_layernorm`, out: 4 },
  linear(`model.layers.${index}.self_attn.q_proj`),
  linear(`model.layers.${index}.self_attn.v_proj`),
  linear(`model.layers.${index}.mlp.up_proj`),
];

const tree: ModuleTree = {
  modules: [
    { kind: "embedding", path: "model.embed_tokens", in: 8, out: 4 },
    ...layer(0),
    ...layer(1),
    ...layer(10),
    linear("lm_head"),
  ],
  outputEmbedding: "lm_head",
};

const nothing: TargetFields = {
  file: "adapter_config.json",
  targetModules: null,
  excludeModules: null,
  layersToTransform: null,
  layersPattern: null,
  modulesToSave: [],
};

/** Chosen paths as "0.q_proj", in the tree's order. */
function resolve(fields: Partial<TargetFields>): string {
  const short = (path: string): string =>
    path.replace(/^model\.(layers\.)?/, "").replace(/\.(self_attn|mlp)/, "");
  return resolveTargets(tree, { ...nothing, ...fields })
    .map(({ path }) => short(path))
    .join(" ");
}

const everyLayer = (...names: string[]): string =>
  [0, 1, 10].flatMap((index) => names.map((name) => `${index}.${name}`)).join(" ");

// prettier-ignore
const cases: [what: string, fields: Partial<TargetFields>, chosen: string][] = [
  ["none", {}, ""],
  ["a list", { targetModules: ["q_proj", "up_proj"] }, everyLayer("q_proj", "up_proj")],
  ["order of the model, not of the list", { targetModules: ["up_proj", "q_proj"], layersToTransform: 1 }, "1.q_proj 1.up_proj"],
  ["a suffix ends at a dot", { targetModules: ["proj", "_proj", "proj.", "head"] }, ""],
  ["a suffix of several names", { targetModules: ["0.self_attn.q_proj"] }, "0.q_proj"],
  ["a full name", { targetModules: ["model.layers.1.mlp.up_proj", "lm_head"] }, "1.up_proj lm_head"],
  ["an embedding", { targetModules: ["embed_tokens"] }, "embed_tokens"],
  ["names are no expressions in a list", { targetModules: [".*q_proj", "q.proj"] }, ""],
  ["a string is an expression for the whole name", { targetModules: "q_proj" }, ""],
  ["expression", { targetModules: ".*\\.(q|v)_proj" }, everyLayer("q_proj", "v_proj")],
  ["expression, from the start", { targetModules: "layers\\.0\\..*_proj" }, ""],
  ["expression, to the end", { targetModules: ".*layers\\.1" }, ""],
  ["expression with alternatives at the top", { targetModules: "lm_head|.*\\.0\\..*v_proj" }, "0.v_proj lm_head"],
  ["Python: named group and its echo", { targetModules: ".*\\.(?P<n>\\d)(?P=n)?\\..*q_proj" }, "0.q_proj 1.q_proj"],
  ["Python: \\A and \\Z", { targetModules: "\\A.*up_proj\\Z" }, everyLayer("up_proj")],
  ["all-linear leaves out the head", { targetModules: "all-linear" }, everyLayer("q_proj", "v_proj", "up_proj")],
  ["all-linear, some excluded", { targetModules: "all-linear", excludeModules: ["q_proj", "v_proj"] }, everyLayer("up_proj")],
  ["excluded by list", { targetModules: ["q_proj"], excludeModules: ["model.layers.1.self_attn.q_proj", "10.self_attn.q_proj"] }, "0.q_proj"],
  ["excluded by expression", { targetModules: ["q_proj"], excludeModules: ".*\\.1\\d?\\..*" }, "0.q_proj"],
  ["an exclusion is for the whole name", { targetModules: ["q_proj"], excludeModules: "q_proj" }, everyLayer("q_proj")],
  ["exclusion wins over a full name", { targetModules: ["lm_head"], excludeModules: ["lm_head"] }, ""],
  ["one layer", { targetModules: ["q_proj"], layersToTransform: 1 }, "1.q_proj"],
  ["layer 0", { targetModules: ["q_proj"], layersToTransform: 0 }, "0.q_proj"],
  ["several layers", { targetModules: ["q_proj"], layersToTransform: [10, 0] }, "0.q_proj 10.q_proj"],
  ["an empty list of layers is no limit", { targetModules: ["q_proj"], layersToTransform: [] }, everyLayer("q_proj")],
  ["layers, with the name of their list", { targetModules: ["q_proj"], layersToTransform: [1], layersPattern: "layers" }, "1.q_proj"],
  ["layers, with several names", { targetModules: ["q_proj"], layersToTransform: [1], layersPattern: ["h", "layers"] }, "1.q_proj"],
  ["layers, with another name", { targetModules: ["q_proj"], layersToTransform: [1], layersPattern: "h" }, ""],
  ["an empty name is any", { targetModules: ["q_proj"], layersToTransform: [1], layersPattern: "" }, "1.q_proj"],
  ["a full name is in any layer", { targetModules: ["model.layers.0.mlp.up_proj", "q_proj"], layersToTransform: [1] }, "0.up_proj 1.q_proj"],
  ["a module without layer is in none", { targetModules: ["embed_tokens"], layersToTransform: [0] }, ""],
  ["modules_to_save wins", { targetModules: ["q_proj", "v_proj"], modulesToSave: ["q_proj"], layersToTransform: 0 }, "0.v_proj"],
  ["modules_to_save takes what is inside", { targetModules: "all-linear", modulesToSave: ["self_attn"] }, everyLayer("up_proj")],
  ["modules_to_save begins at a dot", { targetModules: ["q_proj"], modulesToSave: ["proj"], layersToTransform: 0 }, "0.q_proj"],
];

for (const [what, fields, chosen] of cases) {
  test(`targets: ${what}`, () => assert.equal(resolve(fields), chosen));
}

const refused: [fields: Partial<TargetFields>, code: "bad-file" | "unsupported", field: string][] =
  [
    [{ targetModules: "(" }, "bad-file", "target_modules"],
    [{ targetModules: "(?P<a" }, "bad-file", "target_modules"],
    [{ targetModules: ["q_proj"], excludeModules: "[" }, "bad-file", "exclude_modules"],
    [{ targetModules: ["q_proj"], modulesToSave: ["*"] }, "bad-file", "modules_to_save"],
    [{ targetModules: ["mlp"] }, "unsupported", "target_modules"],
    [{ targetModules: ["q_proj", "layers.1"] }, "unsupported", "target_modules"],
  ];

for (const [fields, code, field] of refused) {
  test(`targets: ${JSON.stringify(fields)} is refused`, () => {
    const says = failure(code, "adapter_config.json", `field "${field}"`);
    assert.throws(() => resolve(fields), says);
  });
}

test("an expression may match containers: the leaves are meant", () => {
  assert.equal(resolve({ targetModules: ".*\\.0\\.mlp.*" }), "0.up_proj");
});

test("containers are the modules that only hold others", () => {
  const two: ModuleTree = { modules: layer(0), outputEmbedding: null };
  const inside = ["mlp", "self_attn"].map((name) => `model.layers.0.${name}`);
  const expected = ["model", "model.layers", "model.layers.0", ...inside];
  assert.deepEqual([...containerPaths(two)].sort(), expected.sort());
});

const indices: [path: string, patterns: string[], index: number | null][] = [
  ["model.layers.3.mlp.up_proj", [], 3],
  ["model.layers.12.self_attn.q_proj", [], 12],
  ["model.layers.1.experts.0.up_proj", [], 1],
  ["transformer.h.0.attn.c_attn", [], 0],
  ["model.layers.3", [], null],
  ["lm_head", [], null],
  ["model.layer3.mlp", [], null],
  ["model.layers.3.mlp.up_proj", ["layers"], 3],
  ["model.layers.3.mlp.up_proj", ["h"], null],
  ["model.layers.1.experts.0.up_proj", ["experts"], 0],
  ["model.layers.1.experts.0.up_proj", ["h", "experts", "layers"], 0],
  ["model.sublayers.3.mlp", ["layers"], null],
];

for (const [path, patterns, index] of indices) {
  test(`layerIndex of ${path} with [${patterns.join(", ")}] is ${index}`, () => {
    assert.equal(layerIndex(path, patterns), index);
  });
}

const path = "model.layers.1.self_attn.q_proj";
const values: [patterns: Record<string, number>, value: number | undefined][] = [
  [{}, undefined],
  [{ q_proj: 4 }, 4],
  [{ proj: 4 }, undefined],
  [{ "self_attn.q_proj": 4 }, 4],
  [{ [path]: 4 }, 4],
  [{ v_proj: 2, q_proj: 4, "layers.1.self_attn.q_proj": 8 }, 4],
  [{ "layers.1.self_attn.q_proj": 8, q_proj: 4 }, 8],
  [{ "layers\\.[02]\\..*": 8, ".*_proj": 16 }, 16],
  [{ "q|q_proj": 4 }, 4],
  [{ "^q_proj": 4, "^model.*q_proj": 8 }, 8],
  [{ "(?P<p>q)_(?:k|proj)": 4 }, 4],
  [{ "q_proj.": 4, "layers.1": 8 }, undefined],
];

for (const [patterns, value] of values) {
  test(`matchPattern ${JSON.stringify(patterns)} is ${value}`, () => {
    assert.equal(matchPattern(patterns, path, { field: "rank_pattern", file: "c.json" }), value);
  });
}

test("a broken pattern names its field", () => {
  const says = failure("bad-file", "c.json", 'field "rank_pattern"');
  const place = { field: "rank_pattern", file: "c.json" };
  assert.throws(() => matchPattern({ "(": 1 }, path, place), says);
});
