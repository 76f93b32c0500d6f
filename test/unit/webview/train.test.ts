import assert from "node:assert/strict";
import { test } from "node:test";
import type { MethodField } from "../../../extension/protocol/trainPageContract.ts";
import type { DataPreview, RunConfig } from "../../../extension/protocol/trainingContract.ts";
import { draftOf, newDraft } from "../../../extension/training/draft.ts";
import { type ConfigSchema, methodForms } from "../../../extension/training/methodForms.ts";
import {
  conflicts,
  evaluationKind,
  fieldText,
  foundFields,
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
import {
  lengthHint,
  memoryAdvice,
  previewProblems,
  rateHint,
  trainableLine,
  usualRange,
} from "../../../webview/train/hints.ts";
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
  assert.deepEqual(withMethod(config, ia3, null), {
    ...{ peft_type: "IA3", task_type: "CAUSAL_LM", target_modules: ["q_proj"] },
  });
});

test("a form says at each field what is missing", () => {
  const draft = newDraft(undefined);
  assert.deepEqual(Object.keys(missing(draft)), ["base", "files"]);
  const whole = withData({ ...draft, base: "/base" }, { files: ["/data.jsonl"] });
  assert.deepEqual(missing(whole), {});
  assert.deepEqual(Object.keys(missing({ ...whole, name: " - " })), ["name"]);
  const unseen = withData(whole, { evaluationFiles: [] });
  assert.deepEqual(Object.keys(missing(unseen)), ["evaluationFiles"]);
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

test("what does not go together is said at once, at its field", () => {
  const whole = withData({ ...newDraft(undefined), base: "/base" }, { files: ["/data.jsonl"] });
  const check = (draft: RunConfig, expected: string[]): void =>
    assert.deepEqual(Object.keys(conflicts(draft)), expected);
  check(whole, []);
  const early = withSetting(whole, "earlyStopping", 2);
  check(early, []);
  check(withData(early, { evaluationShare: undefined }), ["earlyStopping"]);
  check(withSetting(early, "evaluateEvery", 0), ["earlyStopping"]);
  const files = withData(early, { evaluationShare: undefined, evaluationFiles: ["/test.jsonl"] });
  check(files, []);
  check(withData(files, { evaluationFiles: ["/data.jsonl"] }), ["evaluationFiles"]);
  const short = withSetting(whole, "maxSteps", 10);
  check(short, ["warmupSteps"]);
  check(withSetting(short, "warmupSteps", 9), []);
});

test("what a run is evaluated on is told by its config", () => {
  const kinds = [{}, { evaluationShare: 0.1 }, { evaluationFiles: [] }].map((data) =>
    evaluationKind({ files: [], ...data }),
  );
  assert.deepEqual(kinds, ["none", "share", "files"]);
});

test("fields are found by their names and by what they mean", () => {
  const check = (wanted: string, ...names: string[]): void => {
    const found = foundFields(lora, wanted);
    for (const name of names) assert(found.has(name), `${wanted}: ${name}`);
    assert(found.size < lora.length / 2, `${wanted} finds ${found.size}`);
  };
  check("rslora", "use_rslora");
  check("rank pattern", "rank_pattern");
  check("RANK_PATTERN", "rank_pattern");
  assert.equal(foundFields(lora, " ").size, lora.length);
  assert.equal(foundFields(lora, "no such thing").size, 0);
});

const statistics = {
  ...{ examples: 100, rows: 100, tokens: 1000, learnedTokens: 500, cut: 0, cutTokens: 0 },
  ...{ withoutLearned: 0, longest: 77, median: 10 },
};
const preview: DataPreview = {
  ...{ format: "instruction", fields: {}, examples: [], labels: [], broken: 0, problems: [] },
  ...{
    training: statistics,
    evaluation: { ...statistics, examples: 5 },
    notes: [],
    isWhole: false,
  },
};

test("the longest text says how many are cut, and how many are left with nothing", () => {
  const none = lengthHint(preview, { trained: 1, all: 2, context: 2048 });
  assert.equal(
    none,
    "The longest of the first 105 texts has 77 tokens. None is cut. The base reads 2,048 at most, whatever stands here.",
  );
  const training = { ...statistics, cut: 3, cutTokens: 40, withoutLearned: 2 };
  const cut = lengthHint({ ...preview, training, isWhole: true }, null);
  assert.match(cut, /of 105 texts/);
  assert.match(cut, /3 are cut and lose 40 tokens\. 2 are left out/);
  assert.equal(lengthHint(null, null), "");
});

test("a learning rate is held against what is usual for its method", () => {
  const draft = newDraft(undefined);
  const at = (learningRate: number, peft_type = "LORA", all = 1e9): string =>
    rateHint(
      {
        ...withSetting(draft, "learningRate", learningRate),
        adapter: { kind: "new", config: { peft_type } },
      },
      { trained: 1, all, context: null },
    );
  assert.equal(at(2e-4), "Usual for this method: 1e-4 to 5e-4.");
  assert.match(at(0.1), /the loss may rise/);
  assert.match(at(1e-6), /little may be learned/);
  assert.doesNotMatch(at(3e-2, "PROMPT_TUNING"), /rise/);
  // A toy learns with bigger steps.
  assert.match(at(1e-3, "LORA", 1e6), /1e-3 to 5e-3\.$/);
  const [low] = usualRange("LORA", "sgd");
  assert(low > usualRange("LORA", "adamw")[0]);
});

test("trainable parameters are said as PEFT says them", () => {
  assert.equal(
    trainableLine({ trained: 294_912, all: 124_734_720, context: null }),
    "trainable params: 294,912 || all params: 124,734,720 || trainable%: 0.2364",
  );
});

test("each advice makes a run smaller, and none is given twice", () => {
  let draft = newDraft({ path: "/b", parameters: 1e9 });
  const seen: string[] = [];
  for (let advice = memoryAdvice(draft); advice.length > 0; advice = memoryAdvice(draft)) {
    const [first] = advice;
    assert(first && seen.length < 20);
    seen.push(first.id);
    draft = first.apply(draft);
  }
  const { batchSize, gradientAccumulation, gradientCheckpointing } = draft.settings;
  assert.deepEqual([batchSize, gradientCheckpointing, draft.dtype], [1, true, "int4"]);
  // As many texts a step as before.
  assert.equal(gradientAccumulation * batchSize, 4);
});

test("broken records stop a run unless they are left out", () => {
  const shown = { kind: "shown", preview: { ...preview, broken: 3 } } as const;
  assert.match(previewProblems(shown, false)["files"] ?? "", /3 records are broken/);
  assert.deepEqual(previewProblems(shown, true), {});
  const failed = previewProblems({ kind: "failed", message: "No such file." }, true);
  assert.deepEqual(failed, { files: "No such file." });
  const training = { ...statistics, rows: 0 };
  const empty = previewProblems({ kind: "shown", preview: { ...preview, training } }, false);
  assert.deepEqual(Object.keys(empty), ["maxLength"]);
});
