import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { methodLabels } from "../../../extension/core/checkpoint/adapterConfig.ts";
import { methods } from "../../../extension/core/peft/index.ts";

const page = readFileSync(join(import.meta.dirname, "../../../docs/methods.md"), "utf8");
const [running = "", refused = ""] = page.split("## Refused");

test("docs/methods.md lists what runs and what is refused", () => {
  const runs = new Set(methods.map(({ peftType }) => peftType));
  for (const type of Object.keys(methodLabels)) {
    assert.equal(running.includes(`\`${type}\``), runs.has(type), `${type} among the running ones`);
    if (!runs.has(type)) assert.ok(refused.includes(`\`${type}\``), `${type} among the refused`);
  }
});
