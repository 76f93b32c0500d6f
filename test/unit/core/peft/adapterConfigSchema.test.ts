import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Ajv, type ErrorObject } from "ajv";
import { methods } from "../../../../extension/core/peft/index.ts";
import {
  adapterConfigSchema,
  schemaText,
} from "../../../../extension/core/peft/schema/adapterConfigSchema.ts";
import facts from "../../../../extension/core/peft/schema/peftFields.json" with { type: "json" };

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const schema = adapterConfigSchema();
const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);

function errorsOf(config: unknown): string[] {
  if (validate(config)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, keyword }: ErrorObject) => `${instancePath} ${keyword}`,
  );
}

async function configsUnder(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((name) => path.basename(name) === "adapter_config.json")
    .map((name) => path.join(folder, name));
}

test("the schema's file is what the methods make of it", async () => {
  const written = await readFile(
    path.join(root, "media/schemas/adapter_config.schema.json"),
    "utf8",
  );
  assert.equal(written, schemaText(), "run: npm run schema");
});

test("every adapter that Python wrote is valid", async () => {
  const folders = ["media/sample", "test/golden/fixtures"].map((name) => path.join(root, name));
  const own = process.env["GRAFT_GOLDEN"];
  const files = (await Promise.all([...folders, ...(own ? [own] : [])].map(configsUnder))).flat();
  const good = files.filter((file) => !/[/\\]bad[/\\](?!_good)/.test(file));
  assert(good.length > 200, `only ${good.length} configs`);
  const wrong: string[] = [];
  for (const file of good) {
    const errors = errorsOf(JSON.parse(await readFile(file, "utf8")));
    if (errors.length > 0) wrong.push(`${path.relative(root, file)}: ${errors.join(", ")}`);
  }
  assert.deepEqual(wrong, []);
});

const bad: [name: string, error: string][] = [
  ["config_bias_unknown", "/bias enum"],
  ["config_init_unknown", "/init_lora_weights anyOf"],
  ["config_list", " type"],
  ["config_lowercase_peft_type", "/peft_type enum"],
  ["config_missing_peft_type", " required"],
  ["config_r_string", "/r type"],
  ["config_r_zero", "/r minimum"],
  ["config_rank_pattern_wrong", ""],
  ["config_unknown_task_type", "/task_type enum"],
];

for (const [name, error] of bad) {
  const file = path.join(root, "test/golden/fixtures/bad", name, "adapter_config.json");
  test(`${name} is ${error === "" ? "valid: what is wrong needs the base" : "refused"}`, async () => {
    const errors = errorsOf(JSON.parse(await readFile(file, "utf8")));
    if (error === "") assert.deepEqual(errors, []);
    else assert(errors.includes(error), `it says ${errors.join(", ") || "nothing"}`);
  });
}

const lora = { peft_type: "LORA", target_modules: ["q_proj"] };
const values: [field: string, value: unknown, isGood: boolean][] = [
  ["r", 1, true],
  ["r", 1.5, false],
  ["r", null, false],
  ["lora_alpha", 0.5, true],
  ["lora_alpha", "16", false],
  ["target_modules", "all-linear", true],
  ["target_modules", null, true],
  ["target_modules", [1], false],
  ["layers_to_transform", 3, true],
  ["layers_to_transform", [0, 1], true],
  ["layers_to_transform", ["0"], false],
  ["rank_pattern", { q_proj: 4 }, true],
  ["rank_pattern", { q_proj: 0 }, false],
  ["init_lora_weights", "pissa_niter_16", true],
  ["init_lora_weights", "pissa_niter_", false],
  ["use_dora", "yes", false],
  ["modules_to_save", "lm_head", false],
  ["layer_replication", [[0, 2]], true],
  ["layer_replication", [[0, 2, 3]], false],
  ["something_new", { of: "later" }, true],
];

for (const [field, value, isGood] of values) {
  test(`LoRA with ${field} ${JSON.stringify(value)} is ${isGood ? "valid" : "refused"}`, () => {
    assert.equal(errorsOf({ ...lora, [field]: value }).length === 0, isGood);
  });
}

test("a field is checked as its own method has it", () => {
  assert.deepEqual(errorsOf({ peft_type: "OFT", r: 0, oft_block_size: 32 }), []);
  assert.notDeepEqual(errorsOf({ peft_type: "LORA", r: 0 }), []);
});

test("PEFT's fields have a meaning and PEFT's own default in every method", () => {
  const peft: Readonly<Record<string, { fields: Record<string, unknown[]> }>> = facts.methods;
  const problems: string[] = [];
  for (const { peftType, fields } of methods) {
    for (const [name, [, value]] of Object.entries(peft[peftType]?.fields ?? {})) {
      const info = fields[name];
      if (!info?.meaning) problems.push(`${peftType}.${name} has no meaning`);
      else if (JSON.stringify(info.default) !== JSON.stringify(value)) {
        problems.push(
          `${peftType}.${name}: ${JSON.stringify(info.default)}, PEFT ${JSON.stringify(value)}`,
        );
      }
    }
  }
  assert.deepEqual(problems, []);
  assert.deepEqual(
    Object.keys(peft).filter((type) => !methods.some(({ peftType }) => peftType === type)),
    [],
  );
});

test("what a hover shows says meaning, type, default and source", () => {
  const { markdownDescription } = schema.definitions["LORA"]?.properties?.["r"] ?? {};
  assert.match(
    markdownDescription ?? "",
    /^Rank: .*\n\nType: whole number of at least 1 {2}\nDefault: `8` {2}\nSource: PEFT 0\.21, `LoraConfig\.r`$/,
  );
});
