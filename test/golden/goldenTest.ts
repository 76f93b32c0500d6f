import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { runCases } from "./runCases.ts";

/** Cases whose ids fit: another file has the rest, so that two processors share them. */
export function goldenTest(name: string, only: RegExp): void {
  const here = import.meta.dirname;
  void test(name, async (t) => {
    const outcomes = await runCases(path.join(here, "fixtures"), {
      sampleModels: path.join(here, "../../media/sample"),
      only,
    });
    assert.ok(outcomes.length > 0, "no case found");
    for (const { id, result, note } of outcomes) {
      const skip = result === "refused" || result === "left out" ? note : false;
      await t.test(id, { skip }, () => {
        assert.equal(result, "passed", note);
      });
    }
  });
}
