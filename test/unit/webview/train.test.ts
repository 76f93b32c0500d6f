import assert from "node:assert/strict";
import { test } from "node:test";
import type { MethodField } from "../../../extension/protocol/trainPageContract.ts";
import { draftOf, newDraft } from "../../../extension/training/draft.ts";
import { type ConfigSchema, methodForms } from "../../../extension/training/methodForms.ts";
import {
  fieldText,
  missing,
  type NumberRule,
  parseField,
  parseNumber,
  promptsOf,
  withData,
  withField,
  withMethod,
  withSetting,
} from "../../../webview/train/draft.ts";
import schema from "../../../media/schemas/adapter_config.schema.json" with { type: "json" };

const forms = methodForms(schema as unknown as ConfigSchema, ["LORA", "IA3", "NO_SUCH"]);
const lora = forms[0]?.fields ?? [];

function fieldOf(name: string): MethodField {
  const found = lora.find((field) => field.name === name);
  assert(found, name);
  return found;
}

test("a method's form is drawn from its own fields, what most runs set first", () => {
  assert.deepEqual(
    forms.map(({ peftType, label }) => [peftType, label]),
    [
      ["LORA", "LoRA"],
      ["IA3", "IA³"],
    ],
  );
  assert.deepEqual(
    lora.slice(0, 4).map(({ name }) => name),
    ["r", "target_modules", "lora_alpha", "lora_dropout"],
  );
  const kinds = ["r", "lora_alpha", "use_dora", "bias", "target_modules", "init_lora_weights"];
  assert.deepEqual(
    kinds.map((name) => fieldOf(name).kind),
    ["integer", "number", "switch", "choice", "names", "json"],
  );
  assert.equal(fieldOf("r").minimum, 1);
  // Former names of fields are read, not offered.
  assert(!lora.some(({ name }) => name === "lora_r"));
  assert.match(fieldOf("r").meaning, /^Rank/);
});

test("what is typed becomes a value, or says why not", () => {
  const check = (name: string, typed: string, expected: unknown): void =>
    assert.deepEqual(parseField(typed, fieldOf(name)), { value: expected });
  check("r", "16", 16);
  check("target_modules", "q_proj, v_proj", ["q_proj", "v_proj"]);
  check("target_modules", "all-linear", "all-linear");
  check("target_modules", ".*\\.(q|v)_proj", ".*\\.(q|v)_proj");
  check("init_lora_weights", "gaussian", "gaussian");
  check("init_lora_weights", "false", false);
  check("rank_pattern", '{"q_proj": 4}', { q_proj: 4 });
  for (const typed of ["0", "1.5", "x", ""]) assert("problem" in parseField(typed, fieldOf("r")));
  assert("problem" in parseField("{q_proj", fieldOf("rank_pattern")));
});

test("a value is shown as it would be typed", () => {
  assert.deepEqual([null, ["q_proj", "v_proj"], 0.5, { q: 1 }, "a"].map(fieldText), [
    "",
    "q_proj, v_proj",
    "0.5",
    '{"q":1}',
    "a",
  ]);
});

test("numbers keep their bounds", () => {
  const check = (typed: string, rule: NumberRule, isValue: boolean): void =>
    assert.equal("value" in parseNumber(typed, rule), isValue, `${typed} ${JSON.stringify(rule)}`);
  check("3", { isWhole: true, minimum: 1 }, true);
  check("0", { minimum: 0, isAbove: true }, false);
  check("2e-4", { minimum: 0, isAbove: true }, true);
  check("", {}, false);
  check("", { isOptional: true }, true);
  check("91", { minimum: 0, maximum: 90 }, false);
  check("Infinity", {}, false);
});

test("a config holds what differs from the method's defaults", () => {
  const r = fieldOf("r");
  const config = withField({ peft_type: "LORA" }, r, 32);
  assert.deepEqual(config, { peft_type: "LORA", r: 32 });
  assert.deepEqual(withField(config, r, r.default), { peft_type: "LORA" });
});

test("another method keeps what both have", () => {
  const [, ia3] = forms;
  assert(ia3);
  const config = { peft_type: "LORA", task_type: "CAUSAL_LM", r: 8, target_modules: ["q_proj"] };
  assert.deepEqual(withMethod(config, ia3), {
    ...{ peft_type: "IA3", task_type: "CAUSAL_LM", target_modules: ["q_proj"] },
  });
});

test("a form says at each field what is missing", () => {
  const draft = newDraft(undefined);
  assert.deepEqual(Object.keys(missing(draft)), ["base", "files"]);
  const whole = withData({ ...draft, base: "/base" }, { files: ["/data.jsonl"] });
  assert.deepEqual(missing(whole), {});
  assert.deepEqual(Object.keys(missing({ ...whole, name: " - " })), ["name"]);
  const early = withSetting(whole, "earlyStopping", 2);
  assert.deepEqual(missing(early), {});
  const unseen = withData(early, { evaluationShare: undefined });
  assert.deepEqual(Object.keys(missing(unseen)), ["earlyStopping"]);
});

test("settings that are left empty are not written", () => {
  const draft = withSetting(newDraft(undefined), "maxSteps", 10);
  assert.equal(draft.settings.maxSteps, 10);
  assert(!("maxSteps" in withSetting(draft, "maxSteps", undefined).settings));
  assert(!("learn" in withData(draft, { learn: undefined }).data));
});

test("a new form trains LoRA, a small base in bigger steps; a saved adapter is trained on", () => {
  const { adapter, settings, base } = newDraft({ path: "/b", parameters: 135e6 });
  assert.equal(base, "/b");
  assert(adapter.kind === "new" && adapter.config["peft_type"] === "LORA");
  assert(newDraft({ path: "/b", parameters: 1e6 }).settings.learningRate > settings.learningRate);
  const on = newDraft({ path: "/b", parameters: 1 }, { name: "pirate", path: "/a" });
  assert.deepEqual(on.adapter, { kind: "continue", path: "/a" });
});

test("what a page saved is a draft only when it is whole", () => {
  const draft = newDraft(undefined);
  assert.deepEqual(draftOf(JSON.parse(JSON.stringify(draft))), draft);
  for (const broken of [null, 1, {}, { ...draft, data: {} }, { ...draft, samplePrompts: null }])
    assert.equal(draftOf(broken), null);
});

test("prompts are lines with something in them", () => {
  assert.deepEqual(promptsOf(" a \n\nb\n"), ["a", "b"]);
});
