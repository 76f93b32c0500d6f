import assert from "node:assert/strict";
import { until } from "./harness.ts";
import { pidIn, trainingScenario, writeRun } from "./runs.ts";

const untrusted = { trusted: false };

trainingScenario("a restricted workspace can look but not load", untrusted, async (vscode) => {
  const folder = writeRun(vscode, "somebody");
  await vscode.openGraft();
  await until("adapters are listed", async () => (await vscode.treeRows("Adapters")).length >= 5);
  await until("the inspector opens", async () => {
    // A row that is drawn anew just now does not know its adapter; then a picker asks for it.
    await vscode.page.keyboard.press("Escape");
    await vscode.rowAction("Adapters", "lora-pirate", "Open Inspector");
    await vscode.page.locator(".tab", { hasText: "lora-pirate" }).waitFor({ timeout: 5000 });
    return true;
  });
  await vscode.webviewFrame("[role=grid]");
  await vscode.clickRow("Base Models", "graft-sample");
  await vscode.notification(/trust/i);
  await vscode.screenshot("32 restricted");
  assert.ok(!(await vscode.statusBarText()).includes("graft-sample"));

  // Runs are listed and shown; what would start one is refused.
  await vscode.clickRow("Runs", "somebody");
  const page = await vscode.webviewFrame("#goOn");
  await page.locator("#goOn").click();
  await vscode.notification(/Training needs a trusted workspace/);
  await vscode.screenshot("32 restricted run");
  assert.equal(pidIn(folder), undefined);
});
