import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { readdirSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { openSafetensors, readFloat32 } from "../../../../extension/core/safetensors/read.ts";
import { allLogits } from "../../../golden/models.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

const folder = path.join(fixtures, "quantized");
const adapter = path.join(fixtures, "adapters/llama/lora_default");
const batch = { ids: [[1, 5, 9, 33, 2, 7, 11, 40]], mask: [[1, 1, 1, 1, 1, 1, 1, 1]] };

async function truthsOf(name: string): Promise<{ base: Float32Array; tuned: Float32Array }> {
  const { file, tensors } = await openSafetensors(path.join(folder, name, "expected.safetensors"));
  const logits = tensors.filter((tensor) => tensor.name.endsWith("_logits"));
  const values = await readFloat32(file, logits);
  return {
    base: values.get("base_logits") as Float32Array,
    tuned: values.get("adapter_logits") as Float32Array,
  };
}

for (const name of readdirSync(folder)) {
  void test(`${name}: base and LoRA as transformers and PEFT on the dequantized weights`, async (t) => {
    const truth = await truthsOf(name);
    for (const precision of ["auto", "fp32"] as const) {
      const options = { precision, accuracyLevel: 0 } as const;
      const model = new PeftModel(await loadBaseModel(path.join(folder, name), options));
      t.after(() => model.dispose());
      const { packed, stored } = model.base.precision;
      const isBlocks = precision === "auto" && !/nf4|fp4/.test(name);
      assert.equal(packed > 0, isBlocks, "integers run as they are, NF4 and FP4 dequantized");
      assert(stored);
      const base = await allLogits(model, model.currentInputs, batch);
      assert(difference(base, truth.base) <= 1e-4, `base: ${difference(base, truth.base)}`);
      await model.loadAdapter(adapter);
      model.setAdapter("default");
      const tuned = await allLogits(model, model.currentInputs, batch);
      assert(difference(tuned, truth.tuned) <= 1e-4, `LoRA: ${difference(tuned, truth.tuned)}`);
      await assert.rejects(
        model.mergeAndUnload({ folder: "/never" }),
        failure("unsupported", "quantized"),
      );
    }
  });
}

void test("NF4 as stored may run in int8, and the report says what that takes", async (t) => {
  const options = { precision: "int8", accuracyLevel: 0 } as const;
  const model = new PeftModel(await loadBaseModel(path.join(folder, "bnb_nf4_double"), options));
  t.after(() => model.dispose());
  const { label, error, packed } = model.base.precision;
  assert.equal(label, "bnb 4bit as int8");
  assert(packed > 0 && error && error.relative > 0.001 && error.relative < 0.01);
  assert.equal(error.worst.length, 5);
});

const refused: [string, object, string][] = [
  ["compressed-tensors", { quant_method: "compressed-tensors" }, "compressed-tensors"],
  [
    "marlin",
    { quant_method: "gptq", bits: 4, group_size: 32, checkpoint_format: "marlin" },
    "marlin",
  ],
  ["gemv", { quant_method: "awq", bits: 4, group_size: 32, version: "gemv" }, "gemv"],
];

for (const [name, quantization, word] of refused) {
  void test(`${name} is refused by name`, async (t) => {
    const own = await temporaryFolder(t);
    await cp(path.join(folder, "awq"), own, { recursive: true });
    const file = path.join(own, "config.json");
    const config = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
    await writeFile(file, JSON.stringify({ ...config, quantization_config: quantization }));
    await assert.rejects(loadBaseModel(own), failure("unsupported", word));
  });
}
