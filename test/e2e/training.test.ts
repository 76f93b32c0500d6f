import assert from "node:assert/strict";
import { copyFileSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Frame } from "playwright-core";
import { root, scenario, until, type VSCode } from "./harness.ts";

const runs = "Runs";

scenario("an adapter is trained, paused, resumed and answers", {}, async (vscode) => {
  const { workspace } = vscode.folders;
  copyFileSync(join(root, "media/sample/training/pirate.jsonl"), join(workspace, "pirate.jsonl"));
  await vscode.openGraft();
  await vscode.clickRow("Base Models", "graft-sample");
  await vscode.runCommand("Graft: Train Adapter…");
  const form = await vscode.webviewFrame("#start-training");
  await form.locator("#name").fill("arr");
  await form.locator("#start-training").click();
  const files = form.locator("#problem-files");
  await until("the missing files are named", async () => (await files.textContent()) !== "");
  await addFile(vscode, form, join(workspace, "pirate.jsonl"));
  await form.locator(".seen .learned", { hasText: "Arr!" }).first().waitFor();
  assert.equal(await files.textContent(), "");
  await form.locator("#maxSteps").fill("80");
  await form.locator("#prompts").fill("What colour is the sky?");
  await form.locator("#estimate").click();
  await form.locator("#estimated", { hasText: "80 steps" }).waitFor();
  await vscode.screenshots("80 train form");
  await form.locator("#start-training").click();

  const page = await vscode.webviewFrame("#pause");
  await page.locator("#facts", { hasText: "loss" }).waitFor();
  await page.locator("#pause").click();
  await page.locator("#state", { hasText: "Paused" }).waitFor();
  await vscode.screenshots("81 run paused");
  await vscode.reload();
  await until("the status bar knows the run again", async () =>
    (await vscode.statusBarText()).includes("arr paused"),
  );
  await vscode.openGraft();
  await vscode.treeRow(runs, "arr").waitFor();
  await vscode.rowAction(runs, "arr", "Resume Run");
  await vscode.notification(/arr is trained/);
  const folder = join(workspace, "graft-runs/arr");
  assert(existsSync(join(folder, "adapter_model.safetensors")), readdirSync(folder).join());
  await vscode.rowAction(runs, "arr", "Load Adapter of Run");
  await until("the adapter answers", async () =>
    (await vscode.statusBarText()).includes("graft-sample + arr"),
  );
  await vscode.screenshot("82 run finished");
});

/** The editor in a browser asks for files with a path. */
async function addFile(vscode: VSCode, form: Frame, file: string): Promise<void> {
  await form.locator("#add-files").click();
  await vscode.saveAs(file);
  await form.locator("#files li", { hasText: file }).waitFor();
}
