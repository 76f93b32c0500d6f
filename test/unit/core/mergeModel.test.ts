import assert from "node:assert/strict";
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { openBaseCheckpoint } from "../../../extension/core/checkpoint/baseCheckpoint.ts";
import { writeTorchFile } from "../../../extension/core/checkpoint/writeTorchFile.ts";
import { readTensors } from "../../../extension/core/safetensors/read.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { fixtures, temporaryFolder } from "./support.ts";

void test("merging into a head with a weight of its own leaves the config as it is", async (t) => {
  const base = path.join(fixtures, "models/llama");
  const adapter = path.join(fixtures, "adapters/llama/lora_target_lm_head");
  const model = await PeftModel.fromPretrained(await loadBaseModel(base), adapter);
  t.after(() => model.dispose());
  const folder = path.join(await temporaryFolder(t), "merged");
  const report = await model.mergeAndUnload({ folder });
  assert.ok(report.changed.includes("lm_head.weight"));
  assert.equal(report.untied, false);
  const [before, after] = await Promise.all(
    [base, folder].map((dir) => readFile(path.join(dir, "config.json"), "utf8")),
  );
  assert.equal(after, before);
});

void test("a merge into shards of torch.save is saved as safetensors with an index", async (t) => {
  const base = path.join(await temporaryFolder(t), "base");
  await cp(path.join(fixtures, "models/llama"), base, { recursive: true });
  const [own] = (await openBaseCheckpoint(base)).files;
  assert(own);
  await rm(own.file);
  const bytes = await readTensors(
    own.file.replace(base, path.join(fixtures, "models/llama")),
    own.tensors,
  );
  const tensors = own.tensors.map((entry, i) => ({ ...entry, bytes: bytes[i] as Uint8Array }));
  const map: Record<string, string> = {};
  for (const [i, part] of [tensors.slice(0, 9), tensors.slice(9)].entries()) {
    const name = `pytorch_model-0000${i + 1}-of-00002.bin`;
    await writeTorchFile(path.join(base, name), part);
    for (const tensor of part) map[tensor.name] = name;
  }
  await writeFile(
    path.join(base, "pytorch_model.bin.index.json"),
    JSON.stringify({ weight_map: map }),
  );
  const adapter = path.join(fixtures, "adapters/llama/lora_target_lm_head");
  const model = await PeftModel.fromPretrained(await loadBaseModel(base), adapter);
  t.after(() => model.dispose());
  const folder = path.join(await temporaryFolder(t), "merged");
  await model.mergeAndUnload({ folder });
  const names = (await readdir(folder)).filter((name) => name.includes("model"));
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  assert.deepEqual(names.sort(), [...shards, "model.safetensors.index.json"]);
  const merged = await openBaseCheckpoint(folder);
  assert.deepEqual([merged.shardNames, merged.weights.size], [shards, tensors.length]);
});
