import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { multiply } from "../../../../extension/core/base/matrix.ts";
import { expertFactors } from "../../../../extension/core/peft/loraParameters.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { failure, fixtures, temporaryFolder } from "../support.ts";
import { writeLora } from "./tinyLlama.ts";

const base = await loadBaseModel(path.join(fixtures, "models/llama"));
const model = new PeftModel(base);
after(() => model.dispose());
const mixed = path.join(fixtures, "adapters/llama/lora_target_parameters_mixed");

/** A copy of an adapter with other fields in its config. */
async function changed(
  t: { after(end: () => Promise<void>): void },
  fields: object,
  source = mixed,
): Promise<string> {
  const folder = await temporaryFolder(t);
  await cp(source, folder, { recursive: true });
  const file = path.join(folder, "adapter_config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as object;
  await writeFile(file, JSON.stringify({ ...config, ...fields }));
  return folder;
}

void test("experts share factors: A counts experts first, B ranks (torch.einsum of PEFT)", () => {
  const count = { experts: 2, scaling: 0.5 };
  const stored = {
    a: Float32Array.from({ length: 12 }, (_, i) => i),
    b: Float32Array.from({ length: 8 }, (_, i) => i / 4),
    rank: 2,
  };
  const deltas = [0, 1].map((expert) => {
    const { a, b, rank } = expertFactors(stored, { ...count, expert });
    return [...multiply(b, a, { rows: 2, inner: rank, columns: 3 })];
  });
  assert.deepEqual(deltas, [
    [0.75, 1, 1.25, 2.25, 3.5, 4.75],
    [4.125, 4.625, 5.125, 11.625, 13.125, 14.625],
  ]);
});

const refusals: [title: string, fields: object, ...said: string[]][] = [
  ["DoRA", { use_dora: true }, "use_dora"],
  ["a bias", { lora_bias: true }, "lora_bias"],
  ["dropout", { lora_dropout: 0.1 }, "lora_dropout"],
  ["transposed weights", { fan_in_fan_out: true }, "fan_in_fan_out"],
  ["MiCA", { init_lora_weights: "mica" }, "init_lora_weights"],
  ["an invocation", { alora_invocation_tokens: [3] }, "alora_invocation_tokens"],
  ["its module", { target_modules: ["q_proj", "v_proj"] }, "q_proj.weight", "target_modules"],
  ["its module's copy", { modules_to_save: ["q_proj"] }, "q_proj.weight", "modules_to_save"],
];

for (const [title, fields, ...said] of refusals) {
  void test(`a parameter cannot be targeted with ${title}, as in PEFT`, async (t) => {
    const folder = await changed(t, fields);
    await assert.rejects(model.loadAdapter(folder), failure("bad-file", ...said));
  });
}

void test("a parameter of one dimension is refused, as in PEFT", async (t) => {
  const folder = await changed(t, { target_parameters: ["input_layernorm.weight"] });
  await assert.rejects(
    model.loadAdapter(folder),
    failure("unsupported", "model.layers.0.input_layernorm.weight"),
  );
});

void test("parameters without tensors are unbound, and tensors without parameters unexpected", async (t) => {
  const folder = await changed(t, { target_parameters: ["q_proj.weight", "k_proj.weight"] });
  const adapter = await model.loadAdapter(folder, { adapterName: "part", allowPartial: true });
  assert.deepEqual(adapter.report.unbound, [
    "model.layers.0.self_attn.k_proj.weight",
    "model.layers.1.self_attn.k_proj.weight",
  ]);
  assert.equal(adapter.report.unexpected.length, 4);
  assert.ok(adapter.report.unexpected.every((name) => name.includes("down_proj.lora_")));
});

void test("use_qalora on a plain base is said to do nothing", async () => {
  const folder = path.join(fixtures, "adapters/llama/lora_qalora_plain_base");
  const { warnings } = await model.loadAdapter(folder, { adapterName: "qalora" });
  assert.ok(warnings.some((each) => each.includes("use_qalora")));
});

void test("pooled factors of a GPTQ base are refused with the reason", async (t) => {
  const pooled = { rank: 2, a: new Float32Array(2 * 4).fill(0.1), b: new Float32Array(64 * 2) };
  const factors = new Map([["model.layers.0.self_attn.q_proj", pooled]]);
  const folder = await writeLora(await temporaryFolder(t), factors, { use_qalora: true });
  await assert.rejects(model.loadAdapter(folder), failure("misfit", "use_qalora", "GPTQ"));
});

void test("LoRA-GA with raw factors says that the base it was trained on is another", async () => {
  const folder = path.join(fixtures, "adapters/llama/lora_ga_loaded");
  const { warnings } = await model.loadAdapter(folder, { adapterName: "ga" });
  assert.ok(warnings.some((each) => each.includes("LoRA-GA")));
});
