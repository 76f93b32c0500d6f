import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { asGraftError } from "../../../extension/core/base/errors.ts";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";

const fixtures = path.join(import.meta.dirname, "../../golden/fixtures");
const llama = path.join(fixtures, "models/llama");

async function leftovers(): Promise<Set<string>> {
  const names = await readdir(tmpdir());
  return new Set(names.filter((name) => name.startsWith("graft-quantized-")));
}

void test("a quantized base says so in its status, and leaves nothing behind", async () => {
  const before = await leftovers();
  const base = await loadBaseModel(llama, { quantization: "nf4", doubleQuant: true });
  const model = new PeftModel(base);
  await model.loadAdapter(path.join(fixtures, "adapters/llama/lora_target_lm_head"));
  model.setAdapter("default");
  const backends = model
    .getLayerStatus()
    .map(({ name, quantizationBackend }) => [name.split(".").at(-1), quantizationBackend]);
  assert.deepEqual(new Map(backends as [string, string | null][]).get("q_proj"), "bnb 4bit");
  assert.deepEqual(new Map(backends as [string, string | null][]).get("lm_head"), null);
  assert.equal(model.getModelStatus().quantizationBackend, "irregular");
  await assert.rejects(model.mergeAndUnload({ folder: path.join(tmpdir(), "never") }), (error) => {
    assert.equal(asGraftError(error).code, "unsupported");
    return true;
  });
  await model.dispose();
  const own = [...(await leftovers())].filter((name) => !before.has(name));
  assert.deepEqual(own, []);
});

void test("double quantization is for 4 bits", async () => {
  const loading = loadBaseModel(llama, { quantization: "int8", doubleQuant: true });
  await assert.rejects(loading, (error) => {
    assert.equal(asGraftError(error).code, "bad-request");
    return true;
  });
});

void test("a load that is stopped while it quantizes leaves nothing behind", async () => {
  const before = await leftovers();
  const stop = new AbortController();
  const loading = loadBaseModel(llama, {
    quantization: "fp4",
    signal: stop.signal,
    onProgress: ({ step, done = 0, unit }) => {
      if (step === "Quantizing" && unit === "bytes" && done > 0) stop.abort();
    },
  });
  await assert.rejects(loading, (error) => {
    assert.equal(asGraftError(error).code, "cancelled");
    return true;
  });
  const own = [...(await leftovers())].filter((name) => !before.has(name));
  assert.deepEqual(own, []);
});
