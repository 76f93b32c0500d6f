import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { runCases } from "./runCases.ts";

const here = import.meta.dirname;

void test("golden fixtures", async (t) => {
  const outcomes = await runCases(path.join(here, "fixtures"), {
    sampleModels: path.join(here, "../../media/sample"),
  });
  assert.ok(outcomes.length > 0, "no case found");
  for (const { id, result, note } of outcomes) {
    await t.test(id, { skip: result === "refused" || result === "left out" ? note : false }, () => {
      assert.equal(result, "passed", note);
    });
  }
});
