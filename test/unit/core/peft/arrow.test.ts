import assert from "node:assert/strict";
import { cp, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { readJson } from "../../../golden/truth.ts";
import { failure, fixtures, temporaryFolder } from "../support.ts";

const model = new PeftModel(await loadBaseModel(path.join(fixtures, "models/llama")));
after(() => model.dispose());
const folder = (name: string): string => path.join(fixtures, "multi/arrow_gks", name);
for (const name of ["task_0", "task_1", "gks_0"]) {
  await model.loadAdapter(folder(name), { adapterName: name });
}
await model.loadAdapter(path.join(fixtures, "adapters/llama/lora_r1"), { adapterName: "narrow" });

const tasks = ["task_0", "task_1"];

void test("general knowledge is subtracted from adapters of one rank on the same modules", async () => {
  const options = { topK: 2, useGks: true };
  await assert.rejects(model.arrowInputs(tasks, options), failure("bad-request", "general"));
  await assert.rejects(
    model.arrowInputs(tasks, { ...options, generalAdapters: ["narrow"] }),
    failure("bad-request", "same modules"),
  );
  await assert.rejects(
    model.arrowInputs(tasks, { ...options, generalAdapters: ["nobody"] }),
    failure("bad-request", "nobody"),
  );
});

void test("subtracting leaves the loaded adapters as they are", async () => {
  const before = model.adapters[0]?.weights.effects.linear.values().next().value?.lowRank;
  const copy = before?.a.slice();
  await model.arrowInputs(tasks, { topK: 1, useGks: true, generalAdapters: ["gks_0"] });
  assert.deepEqual(before?.a, copy);
});

void test("a saved router is refused with what to do, as PEFT cannot load it", async (t) => {
  const saved = path.join(await temporaryFolder(t), "arrow_router");
  await cp(folder("task_0"), saved, { recursive: true });
  const file = path.join(saved, "adapter_config.json");
  const config = readJson<Record<string, unknown>>(file);
  const arrow = { top_k: 2, router_temperature: 1, rng_seed: 7, use_gks: false };
  await writeFile(file, JSON.stringify({ ...config, arrow_config: arrow }));
  await assert.rejects(
    model.loadAdapter(saved, { adapterName: "router" }),
    failure("unsupported", "arrow_config", "cannot load", "arrowInputs"),
  );
});
