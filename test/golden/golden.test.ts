import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { runCases } from "./runCases.ts";

/** Cases of the fixtures that Graft does not run yet; a name leaves this list when it does. */
const here = import.meta.dirname;

test("golden fixtures", async (t) => {
  const outcomes = await runCases(path.join(here, "fixtures"), {
    sampleModels: path.join(here, "../../media/sample"),
  });
  assert.ok(outcomes.length > 0, "no case found");
  for (const { id, result, note } of outcomes) {
    await t.test(id, { skip: result === "skipped" ? note : false }, () => {
      assert.equal(result, "passed", note);
    });
  }
});
