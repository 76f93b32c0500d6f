import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { type LoadBaseModelOptions, loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { allLogits } from "../../golden/models.ts";
import { dequantized } from "./dequantized.ts";
import { difference, failure, fixtures } from "./support.ts";

const batch = {
  ids: [[1, 5, 9, 33, 2, 7, 11, 40]],
  mask: [[1, 1, 1, 1, 1, 1, 1, 1]],
};

async function logits(model: PeftModel): Promise<Float32Array> {
  return allLogits(model, model.currentInputs, batch);
}

async function open(
  t: TestContext,
  folder: string,
  options: LoadBaseModelOptions = {},
): Promise<PeftModel> {
  const model = new PeftModel(await loadBaseModel(folder, options));
  t.after(() => model.dispose());
  return model;
}

/** Relative root mean square of a difference. */
function relative(own: Float32Array, truth: Float32Array): number {
  let [error, total] = [0, 0];
  truth.forEach((value, i) => {
    error += ((own[i] as number) - value) ** 2;
    total += value ** 2;
  });
  return Math.sqrt(error / total);
}

const packedCases: [string, LoadBaseModelOptions][] = [
  ["llama", { precision: "int4" }],
  ["llama", { precision: "int4", blockSize: 32 }],
  ["llama", { precision: "int8" }],
  ["llama-tied", { precision: "int4" }],
  ["llama-bf16", { precision: "int8", blockSize: 32 }],
  ["gpt2", { precision: "int4", blockSize: 32 }],
  ["qwen2", { precision: "int4" }],
  ["llama", { precision: "int8", quantization: "nf4" }],
  ["llama", { precision: "int4", quantization: "fp4", doubleQuant: true }],
];

for (const [name, options] of packedCases) {
  void test(`${name} in ${JSON.stringify(options)} runs on the values that it says`, async (t) => {
    const folder = path.join(fixtures, "models", name);
    const exact = await open(t, folder, { ...options, accuracyLevel: 0 });
    const { precision, adaptable } = exact.base;
    const linear = adaptable.tree.modules.filter(({ kind }) => kind === "linear");
    assert.equal(precision.packed, linear.length, "all layers and the head are packed");
    const plain = await open(t, await dequantized(t, exact.base.checkpoint, exact.base.adaptable));
    const truth = await logits(plain);
    assert(difference(await logits(exact), truth) <= 1e-4);
    const fast = await open(t, folder, options);
    const error = relative(await logits(fast), truth);
    assert(error > 0 && error < 0.03, `activations in int8 change logits by ${error}`);
    const worst = precision.error?.worst[0]?.relative ?? 0;
    const bound = options.precision === "int4" ? 0.12 : 0.01;
    assert(precision.error && precision.error.relative <= worst && worst < bound, String(worst));
  });
}

void test("every kind of adapter runs over int4 as over the values that it stands for", async (t) => {
  const folder = path.join(fixtures, "models/llama");
  const adapters = path.join(fixtures, "adapters/llama");
  const base = await open(t, folder, { precision: "int4", accuracyLevel: 0 });
  const plain = await open(t, await dequantized(t, base.base.checkpoint, base.base.adaptable));
  for (const name of await readdir(adapters)) {
    const adapterName = name;
    const own = path.join(adapters, name);
    const loading = plain.loadAdapter(own, { adapterName });
    const isLoadable = await loading.then(
      () => true,
      () => false,
    );
    if (!isLoadable) continue;
    await base.loadAdapter(own, { adapterName });
    base.setAdapter(name);
    plain.setAdapter(name);
    const apart = difference(await logits(base), await logits(plain));
    assert(apart <= 2e-4, `${name}: ${apart}`);
    base.deleteAdapter(name);
    plain.deleteAdapter(name);
  }
});

void test("16-bit storage rounds every weight once", async (t) => {
  const folder = path.join(fixtures, "models/llama");
  const model = await open(t, folder, { precision: "bf16" });
  const { checkpoint, precision } = model.base;
  assert([...checkpoint.weights.values()].every(({ dtype }) => dtype === "BF16"));
  assert.equal(precision.label, "bf16");
  const stored = await open(t, folder);
  const error = relative(await logits(model), await logits(stored));
  assert(error > 1e-5 && error < 0.02, String(error));
  const as = await open(t, path.join(fixtures, "models/llama-bf16"), { precision: "bf16" });
  assert.equal(as.base.precision.bytes, 0, "what is bf16 already is not written again");
});

void test("options that exclude each other are refused", async () => {
  const llama = path.join(fixtures, "models/llama");
  const both: LoadBaseModelOptions = { precision: "nf4", quantization: "int8" };
  await assert.rejects(loadBaseModel(llama, both), failure("bad-request", "exclude"));
  const imitated: LoadBaseModelOptions = { precision: "int4", dtype: "bfloat16" };
  await assert.rejects(loadBaseModel(llama, imitated), failure("bad-request", "int4", "fp32"));
});

void test("modules that are not to be converted stay as stored, and are named", async (t) => {
  const llama = path.join(fixtures, "models/llama");
  const options = { precision: "int4", modulesToNotConvert: ["lm_head", "down_proj"] } as const;
  const { base } = await open(t, llama, options);
  const kept = base.precision.kept.map(({ path: own }) => own);
  assert(kept.includes("lm_head") && kept.includes("model.layers.1.mlp.down_proj"));
  assert(!base.checkpoint.packed?.has("lm_head.weight"));
});
