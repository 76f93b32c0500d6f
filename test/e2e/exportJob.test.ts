import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pirateRun } from "../support/pirateRun.ts";
import { scenario } from "./harness.ts";

scenario("a run is exported as a Python job, by its name and from its page", {}, async (vscode) => {
  const { workspace } = vscode.folders;
  const run = join(workspace, "graft-runs/arr");
  mkdirSync(run, { recursive: true });
  writeFileSync(join(run, "run.json"), JSON.stringify({ ...pirateRun, name: "arr" }));
  await vscode.openGraft();
  await vscode.treeRow("Runs", "arr").waitFor();
  await vscode.runAndPick("Graft: Export Training Job…", "arr");
  const folder = join(workspace, "arr-job");
  await vscode.saveAs(folder);
  await vscode.notification(/arr is exported as a Python job/);
  const names = readdirSync(folder);
  for (const name of ["train.py", "job.json", "accelerate_fsdp.yaml", "README.md"]) {
    assert(names.includes(name), names.join());
  }
  const rows = readFileSync(join(folder, "data/training.jsonl"), "utf8").trim().split("\n");
  assert.equal(rows.length, 103);
  await vscode.clickRow("Runs", "arr");
  const page = await vscode.webviewFrame("#exportJob");
  await vscode.screenshot("83 job exported");
  await page.locator("#exportJob").click();
  await vscode.saveAs(`${folder}-2`);
  await vscode.notification(/Python job to .*arr-job-2/);
});
