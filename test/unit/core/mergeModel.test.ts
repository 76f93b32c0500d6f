import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
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
