import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { applyEdits } from "jsonc-parser";
import { fileURLToPath } from "node:url";
import { DescribedBases } from "../../../extension/core/configBase.ts";
import { configFacts } from "../../../extension/core/configFacts.ts";
import { configHandlers } from "../../../extension/engine/config.ts";
import { Library } from "../../../extension/engine/library.ts";
import { completionsAt } from "../../../extension/language/adapterConfig/completions.ts";
import { readDocument } from "../../../extension/language/adapterConfig/document.ts";
import { editsOf } from "../../../extension/language/adapterConfig/edits.ts";
import {
  fieldTable,
  type SchemaFile,
} from "../../../extension/language/adapterConfig/fieldTable.ts";
import { hoverAt } from "../../../extension/language/adapterConfig/hovers.ts";
import type { Problem } from "../../../extension/language/adapterConfig/problem.ts";
import { findProblems } from "../../../extension/language/adapterConfig/problems.ts";
import { similar } from "../../../extension/language/adapterConfig/similar.ts";
import { baseValue } from "../../../extension/language/bases.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const schema = await readFile(path.join(root, "media/schemas/adapter_config.schema.json"), "utf8");
const table = fieldTable(JSON.parse(schema) as SchemaFile);
const bases = new DescribedBases();

const pirate = path.join(root, "media/sample/adapters/lora-pirate/adapter_config.json");
const sample = JSON.parse(await readFile(pirate, "utf8")) as Record<string, unknown>;

function sampleWith(changes: Record<string, unknown>): string {
  return `${JSON.stringify({ ...sample, ...changes }, null, 2)}\n`;
}

async function factsOf(text: string, file = pirate) {
  return configFacts({ path: file, text }, bases);
}

async function problemsOf(text: string, file = pirate): Promise<Problem[]> {
  const document = readDocument(text) ?? assert.fail("no object");
  return findProblems(document, table, document.isWhole ? await factsOf(text, file) : null);
}

function textAt(text: string, { at }: Problem): string {
  return text.slice(at.offset, at.offset + at.length);
}

/** What a problem says, on what it stands, and the first thing that can be done. */
async function check(
  changes: Record<string, unknown>,
  expected: { code: string; on: string; says: RegExp; fix?: string; leaves?: RegExp },
): Promise<void> {
  const text = sampleWith(changes);
  const found = await problemsOf(text);
  const own = found.filter(({ code }) => code === expected.code);
  const problem =
    own.find((each) => textAt(text, each) === expected.on) ??
    assert.fail(`${expected.code} on ${expected.on}, not ${JSON.stringify(found, null, 1)}`);
  assert.match(problem.message, expected.says);
  if (expected.fix === undefined) return;
  const fix =
    problem.fixes.find(({ title }) => title === expected.fix) ??
    assert.fail(`no "${expected.fix}" but ${problem.fixes.map(({ title }) => title).join(" | ")}`);
  const after = applyEdits(text, editsOf(fix, text));
  assert.match(after, expected.leaves ?? assert.fail());
  const left = await problemsOf(after);
  assert(
    !left.some((each) => each.code === expected.code && textAt(after, each) === expected.on),
    "the fix leaves the problem",
  );
}

const cases: Record<string, Parameters<typeof check>> = {
  "a target that matches nothing, beside others": [
    { target_modules: ["q_porj", "v_proj"] },
    {
      code: "target-matches-nothing",
      on: '"q_porj"',
      says: /matches no module of graft-sample.*Did you mean q_proj\?/,
      fix: "Replace by q_proj",
      leaves: /"q_proj",\n {4}"v_proj"/,
    },
  ],
  "the same, removed": [
    { target_modules: ["q_porj", "v_proj"] },
    {
      code: "target-matches-nothing",
      on: '"q_porj"',
      says: /q_porj/,
      fix: 'Remove "q_porj"',
      leaves: /"target_modules": \[\n {4}"v_proj"\n {2}\]/,
    },
  ],
  "a container as a target": [
    { target_modules: ["mlp"] },
    {
      code: "target-is-container",
      on: '"mlp"',
      says: /contains other modules.*gate_proj, up_proj, down_proj/,
      fix: "Replace by gate_proj, up_proj, down_proj",
      leaves: /"gate_proj",\s+"up_proj",\s+"down_proj"/,
    },
  ],
  "a dead alternative in a pattern, by its place behind an escape": [
    { target_modules: ".*\\.(q_proj|k_porj)" },
    {
      code: "pattern-dead",
      on: "k_porj",
      says: /in this pattern matches no module/,
      fix: "Replace by k_proj",
      leaves: /\(q_proj\|k_proj\)/,
    },
  ],
  "a dead alternative, removed with its bar": [
    { target_modules: ".*\\.(q_proj|nothing)" },
    {
      code: "pattern-dead",
      on: "nothing",
      says: /nothing/,
      fix: 'Remove "nothing"',
      leaves: /\(q_proj\)/,
    },
  ],
  "a pattern that matches no whole path": [
    { target_modules: "q_proj" },
    { code: "target-matches-nothing", on: '"q_proj"', says: /must match whole paths/ },
  ],
  "a broken pattern": [
    { target_modules: "(.*" },
    { code: "bad-file", on: '"(.*"', says: /no valid regular expression/ },
  ],
  "a pattern that would never end": [
    { target_modules: "(([a-z_.0-9])+)+!" },
    { code: "unsupported", on: '"(([a-z_.0-9])+)+!"', says: /can take for ever.*not tried/ },
  ],
  "an exclusion that leaves nothing out": [
    { exclude_modules: ["lm_haed"] },
    {
      code: "pattern-dead",
      on: '"lm_haed"',
      says: /leaves nothing out/,
      fix: "Replace by lm_head",
      leaves: /"lm_head"/,
    },
  ],
  "exclusions that leave nothing": [
    { target_modules: ["q_proj"], exclude_modules: ["q_proj"] },
    { code: "target-left-out", on: '"q_proj"', says: /Nothing is adapted.*4 modules/ },
  ],
  "a key of rank_pattern that is not targeted": [
    { rank_pattern: { embed_tokens: 4 } },
    {
      code: "pattern-dead",
      on: '"embed_tokens"',
      says: /rank_pattern never counts/,
      fix: 'Remove "embed_tokens"',
      leaves: /"rank_pattern": \{\}/,
    },
  ],
  "a key that an earlier one hides": [
    { alpha_pattern: { q_proj: 4, "layers.0.self_attn.q_proj": 8 } },
    {
      code: "pattern-dead",
      on: '"layers.0.self_attn.q_proj"',
      says: /"q_proj" before it matches the same modules/,
    },
  ],
  "a layer that there is not": [
    { layers_to_transform: [0, 9] },
    {
      code: "pattern-dead",
      on: "9",
      says: /has no layer 9: its layers are 0 to 3/,
      fix: "Remove layer 9",
      leaves: /"layers_to_transform": \[\n {4}0\n {2}\]/,
    },
  ],
  "modules_to_save that there are not": [
    { modules_to_save: ["lm_hed"] },
    { code: "pattern-dead", on: '"lm_hed"', says: /nothing is stored whole by it/ },
  ],
  "a rank that the tensors do not have": [
    { r: 16 },
    {
      code: "rank-disagrees",
      on: "16",
      says: /r says rank 16, the tensors of 28 of 28 modules have rank 8/,
      fix: "Set r to 8, as the tensors have it",
      leaves: /"r": 8,/,
    },
  ],
  "a rank in rank_pattern that the tensors do not have": [
    { rank_pattern: { q_proj: 4 } },
    {
      code: "rank-disagrees",
      on: "4",
      says: /4 of 28 modules have rank 8/,
      fix: "Set q_proj to 8, as the tensors have it",
      leaves: /"q_proj": 8/,
    },
  ],
  "rank 0, underlined by the schema, set to what the tensors say": [
    { r: 0 },
    { code: "bad-file", on: "0", says: /at least 1/, fix: "Set r to 8", leaves: /"r": 8,/ },
  ],
  "an alpha of 0": [
    { lora_alpha: 0 },
    {
      code: "no-effect",
      on: "0",
      says: /changes nothing/,
      fix: "Set lora_alpha to 8",
      leaves: /"lora_alpha": 8,/,
    },
  ],
  "options that exclude each other": [
    { target_modules: ".*q_proj", layers_to_transform: [0] },
    {
      code: "bad-file",
      on: "[\n    0\n  ]",
      says: /layers_to_transform.*cannot be used with target_modules/,
      fix: "Set layers_to_transform to null",
      leaves: /"layers_to_transform": null/,
    },
  ],
  "a base path that leads nowhere": [
    { base_model_name_or_path: "/models/of/another/machine" },
    {
      code: "base-missing",
      on: '"/models/of/another/machine"',
      says: /Looked for config\.json in/,
    },
  ],
  "an id that is not here": [
    { base_model_name_or_path: "team/not-here" },
    { code: "base-missing", on: '"team/not-here"', says: /Download it from the Hub/ },
  ],
  "no base at all": [
    { base_model_name_or_path: null },
    { code: "base-missing", on: "null", says: /names no base model/ },
  ],
  "a key that PEFT does not know": [
    { something_new: 1 },
    {
      code: "key-unknown",
      on: '"something_new"',
      says: /PEFT 0\.21 does not know.*Graft keeps it on save/,
      fix: "Remove something_new",
      leaves: /^(?![^]*something_new)/,
    },
  ],
  "a key with a typing error": [
    { lora_dropuot: 0.1, lora_dropout: undefined },
    {
      code: "key-unknown",
      on: '"lora_dropuot"',
      says: /did you mean lora_dropout\?/,
      fix: "Rename to lora_dropout",
      leaves: /"lora_dropout": 0\.1/,
    },
  ],
  "a key of another method": [
    { oft_block_size: 32 },
    {
      code: "key-unknown",
      on: '"oft_block_size"',
      says: /is a field of OFTConfig, not of LoraConfig/,
    },
  ],
  "a former key": [
    { lora_r: 8, r: undefined },
    {
      code: "key-unknown",
      on: '"lora_r"',
      says: /did you mean r\?/,
      fix: "Rename to r",
      leaves: /"r": 8/,
    },
  ],
  "another method than the tensors': ": [
    { peft_type: "IA3" },
    {
      code: "method-disagrees",
      on: '"IA3"',
      says: /LORA tensors, the config says IA3/,
      fix: "Set peft_type to LORA",
      leaves: /"peft_type": "LORA"/,
    },
  ],
  "a method in small letters": [
    { peft_type: "lora" },
    {
      code: "method-unknown",
      on: '"lora"',
      says: /capitals/,
      fix: "Set peft_type to LORA",
      leaves: /"peft_type": "LORA"/,
    },
  ],
  "no method": [
    { peft_type: undefined },
    {
      code: "method-missing",
      on: "{",
      says: /missing/,
      fix: "Set peft_type to LORA",
      leaves: /"peft_type": "LORA"/,
    },
  ],
  "no task": [
    { task_type: null },
    {
      code: "task-missing",
      on: "null",
      says: /AutoPeftModel/,
      fix: "Set task_type to CAUSAL_LM",
      leaves: /"task_type": "CAUSAL_LM"/,
    },
  ],
  "a value near an allowed one": [
    { bias: "lora-only" },
    {
      code: "bad-file",
      on: '"lora-only"',
      says: /lora_only/,
      fix: 'Set bias to "lora_only"',
      leaves: /"bias": "lora_only"/,
    },
  ],
};

for (const [name, [changes, expected]] of Object.entries(cases)) {
  test(name, () => check(changes, expected));
}

test("weights that are missing or broken are told", async () => {
  const dir = await mkdtemp(path.join(tmpdir(), "graft-config-"));
  try {
    const file = path.join(dir, "adapter_config.json");
    const text = sampleWith({ base_model_name_or_path: path.join(root, "media/sample/base") });
    assert.deepEqual(
      (await problemsOf(text, file)).map(({ code }) => code),
      ["weights-missing"],
    );
    await writeFile(path.join(dir, "adapter_model.safetensors"), "no header at all");
    const [broken] = await problemsOf(text, file);
    assert.equal(broken?.code, "weights-broken");
    assert.deepEqual(
      broken?.fixes.map(({ kind }) => kind),
      ["open"],
    );
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("a config that is half written has no problems of its own", async () => {
  assert.deepEqual(await problemsOf('{ "peft_type": "LORA", "r": '), []);
  assert.equal(readDocument("[1]"), null);
});

/** Fixtures whose config does say something that PEFT passes over, and what. */
const known: Record<string, string> = {
  "llama/lora_target_parameters_patterns": "pattern-dead",
  "qwen3/lora_target_parameters": "pattern-dead",
  "llama/pissa_niter_4_raw": "unsupported",
};

test("what Python PEFT saved and loads has no warning", async () => {
  const folder = path.join(root, "test/golden/fixtures/adapters");
  const names = await readdir(folder, { recursive: true });
  const wrong: string[] = [];
  let count = 0;
  for (const name of names.filter((each) =>
    /^[^/\\]+[/\\][^/\\]+[/\\]adapter_config\.json$/.test(each),
  )) {
    const file = path.join(folder, name);
    const own = path.dirname(name).split(path.sep).join("/");
    if (own in known || !existsSync(file)) continue;
    const found = await problemsOf(await readFile(file, "utf8"), file);
    const told = found.filter(({ severity, isQuiet }) => severity !== "information" || isQuiet);
    wrong.push(...told.map(({ code, message }) => `${own}: ${code} ${message}`));
    count++;
  }
  assert(count > 100, `only ${count}`);
  assert.deepEqual(wrong, []);
});

test("the fixtures that say what PEFT passes over are told of", async () => {
  for (const [name, code] of Object.entries(known)) {
    const file = path.join(root, "test/golden/fixtures/adapters", name, "adapter_config.json");
    const found = await problemsOf(await readFile(file, "utf8"), file);
    assert(
      found.some((each) => each.code === code),
      name,
    );
  }
});

const bad: Record<string, string> = {
  config_prompt_tuning_with_lora_file: "method-disagrees",
  config_r_float: "bad-file",
  config_r_missing: "rank-disagrees",
  config_rank_pattern_wrong: "rank-disagrees",
  config_target_empty: "bad-file",
  config_target_matches_nothing: "target-matches-nothing",
  config_target_superset: "binds-in-part",
  header_length_zero: "weights-broken",
  pickle_malicious: "weights-broken",
  tensor_extra_layer: "binds-in-part",
  tensor_rank_mismatch: "rank-disagrees",
  tensor_shape_vs_base: "misfit",
  transposed_a: "misfit",
  weights_missing_file: "weights-missing",
};

test("broken adapters are told of by what is broken", async () => {
  for (const [name, code] of Object.entries(bad)) {
    const file = path.join(root, "test/golden/fixtures/bad", name, "adapter_config.json");
    const found = await problemsOf(await readFile(file, "utf8"), file);
    assert(
      found.some((each) => each.code === code),
      `${name}: ${found.map((f) => f.code).join()}`,
    );
  }
});

test("fixes keep how a file is written", () => {
  const tabs = '{\r\n\t"peft_type": "LORA",\r\n\t"r": 16\r\n}\r\n';
  const fix = { kind: "set", title: "", path: ["task_type"], value: "CAUSAL_LM" } as const;
  assert.equal(
    applyEdits(tabs, editsOf(fix, tabs)),
    '{\r\n\t"peft_type": "LORA",\r\n\t"r": 16,\r\n\t"task_type": "CAUSAL_LM"\r\n}\r\n',
  );
  const rename = { kind: "rename", title: "", path: ["r"], to: "rank" } as const;
  assert.deepEqual(editsOf(rename, tabs), [
    { offset: tabs.indexOf('"r"'), length: 3, content: '"rank"' },
  ]);
});

/** `|` is where the cursor stands. */
async function completed(text: string, changes: Record<string, unknown> = {}) {
  const offset = text.indexOf("|");
  const whole = text.replace("|", "");
  const facts = await factsOf(sampleWith(changes));
  const document = readDocument(whole) ?? assert.fail();
  const known = [{ value: "team/tiny", name: "tiny", detail: "llama · fp32" }];
  return completionsAt(document, offset, { facts, bases: known }).map((item) => ({
    ...item,
    after:
      whole.slice(0, item.at.offset) + item.insert + whole.slice(item.at.offset + item.at.length),
  }));
}

test("names of the base's modules complete a list, without those that are in it", async () => {
  const found = await completed('{ "target_modules": ["v_proj", "q|"] }');
  const labels = found.map(({ label }) => label);
  assert(labels.includes("q_proj") && labels.includes("down_proj"), labels.join());
  assert(!labels.includes("v_proj"), "it is there already");
  assert(!labels.includes("input_layernorm"), "a norm is no target");
  assert(labels.includes("model.layers.0.self_attn.q_proj"), "whole paths come after names");
  const item = found.find(({ label }) => label === "q_proj") ?? assert.fail();
  assert.equal(item.after, '{ "target_modules": ["v_proj", "q_proj"] }');
  assert.match(item.detail, /^4 modules · linear · 160 → 160$/);
});

test("an empty list, modules_to_save, parameters and layers are completed too", async () => {
  const labels = async (text: string) => (await completed(text)).map(({ label }) => label);
  assert((await labels('{ "exclude_modules": [|] }')).includes("q_proj"));
  assert((await labels('{ "modules_to_save": ["|"] }')).includes("input_layernorm"));
  assert((await labels('{ "target_parameters": ["|"] }')).includes("q_proj.weight"));
  assert.deepEqual(await labels('{ "layers_pattern": "|" }'), ["layers"]);
  assert.deepEqual(await labels('{ "layers_to_transform": [0, |] }'), ["1", "2", "3"]);
  assert.deepEqual(await labels('{ "base_model_name_or_path": "|" }'), ["team/tiny"]);
  assert.deepEqual(await labels('{ "r": |8 }'), []);
});

test("one string can be all-linear or a pattern that matches whole paths", async () => {
  const found = await completed('{ "target_modules": "|" }');
  assert.equal(found[0]?.label, "all-linear");
  for (const { insert } of found) {
    const facts = await factsOf(sampleWith({ target_modules: JSON.parse(insert) as string }));
    assert((facts.patterns[0]?.count ?? 0) > 0, insert);
  }
});

test("keys of rank_pattern are the targets, with the rank that holds without them", async () => {
  const found = await completed(
    '{ "r": 8, "target_modules": ["q_proj", "v_proj"], "rank_pattern": { "|" } }',
  );
  assert.deepEqual(
    found.map(({ label }) => label),
    ["q_proj", "v_proj"],
  );
  assert.match(found[0]?.after ?? "", /"rank_pattern": \{ "q_proj": 8 \}/);
});

async function hovered(changes: Record<string, unknown>, on: string): Promise<string> {
  const text = sampleWith(changes);
  const document = readDocument(text) ?? assert.fail();
  const found = hoverAt(document, text.indexOf(on) + 1, await factsOf(text));
  return found?.parts.join("\n") ?? "";
}

test("a hover tells what targets mean on the base, and the scaling", async () => {
  assert.match(
    await hovered({}, '"q_proj"'),
    /means 4 modules of graft-sample[^]*layers\.0\.self_attn\.q_proj` \[160 → 160\][^]*and 1 more/,
  );
  assert.match(
    await hovered({}, '"target_modules"'),
    /On graft-sample:[^]*- `down_proj`: 4 modules/,
  );
  assert.match(
    await hovered({ r: 4, lora_alpha: 16 }, '"r"'),
    /lora_alpha \/ r = 16 \/ 4 = \*\*4\*\*/,
  );
  assert.match(
    await hovered({ use_rslora: true, lora_alpha: 16, r: 4 }, '"lora_alpha"'),
    /16 \/ √4 = \*\*8\*\*/,
  );
  const ofKey = await hovered({ rank_pattern: { q_proj: 4 }, lora_alpha: 16 }, '"q_proj": 4');
  assert.match(ofKey, /of these modules: lora_alpha \/ r = 16 \/ 4 = \*\*4\*\*/);
  assert.match(
    await hovered({}, '"base_model_name_or_path"'),
    /\*\*graft-sample\*\* \(llama · 1\.3 M parameters · fp32\)[^]*28 of 28/,
  );
  assert.match(
    await hovered({ base_model_name_or_path: "nowhere/at-all" }, '"nowhere'),
    /Not found/,
  );
  assert.equal(await hovered({}, '"inference_mode"'), "");
});

test("bases are ranked by how much of the adapter finds its place", async () => {
  const folder = path.join(root, "test/golden/fixtures/models");
  const { rankBases } = configHandlers(new Library());
  const text = sampleWith({ base_model_name_or_path: "nowhere" });
  const own = path.join(root, "media/sample/base");
  const params = {
    path: pirate,
    text,
    bases: [path.join(folder, "llama"), path.join(folder, "none"), own],
  };
  const found = await rankBases(params, {
    emit: () => undefined,
    signal: new AbortController().signal,
  });
  assert.deepEqual(
    found.map(({ name, fits, bound }) => [name, fits, bound]),
    [
      ["graft-sample", true, 28],
      ["llama", false, 0],
    ],
  );
});

test("a base is named by its id, a short relative path, or the whole one", () => {
  const file = "/models/adapters/one/adapter_config.json";
  const cached = "/home/me/.cache/huggingface/hub/models--team--tiny/snapshots/abc";
  assert.equal(baseValue(cached, file), "team/tiny");
  assert.equal(baseValue("/models/base", file), "../../base");
  assert.equal(baseValue("/elsewhere/far/base", file), "/elsewhere/far/base");
});

const alike: [name: string, names: string[], expected: string[]][] = [
  ["q_porj", ["q_proj", "o_proj", "mlp"], ["q_proj", "o_proj"]],
  ["loraalpha", ["lora_alpha"], ["lora_alpha"]],
  ["r", ["bias"], []],
  ["query", ["q_proj"], []],
];

for (const [name, names, expected] of alike) {
  test(`${name} is like ${expected.join(", ") || "none"} of ${names.join(", ")}`, () => {
    assert.deepEqual(similar(name, names), expected);
  });
}
