import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { scenario, until } from "./harness.ts";

const adapters = "Adapters";

scenario("two adapters become one, are compared, and one is deleted", {}, async (vscode) => {
  await vscode.openGraft();
  for (const name of ["lora-pirate", "lora-json"]) {
    await vscode.activate(adapters, name);
  }
  await vscode.runCommand("Graft: Combine Adapters…");
  await vscode.pick("lora-pirate");
  await vscode.screenshot("40 combine adapters");
  await vscode.quickInput().locator(".quick-input-action .monaco-button").first().click();
  const folder = join(vscode.folders.workspace, "adapters");
  await vscode.answer("1, 0");
  await vscode.screenshot("41 combine ways");
  await vscode.pick("cat");
  await vscode.answer("mix");
  await vscode.pick("mix");
  await vscode.notification(/mix .*combined/);
  assert.ok(existsSync(join(folder, "mix/adapter_model.safetensors")));
  const config = readFileSync(join(folder, "mix/adapter_config.json"), "utf8");
  assert.equal((JSON.parse(config) as { r: number }).r, 16);

  await vscode.runCommand("Graft: Compare Status");
  const page = await vscode.webviewFrame(".compare-table");
  await page.locator(".compare-table thead", { hasText: "mix" }).waitFor();
  await vscode.screenshot("42 compare status");

  await vscode.runAndPick("Graft: Delete Adapter from Disk…", "mix");
  await vscode.page.locator(".monaco-dialog-box", { hasText: "mix" }).waitFor();
  await vscode.screenshot("43 delete");
  await vscode.page.locator(".monaco-dialog-box .monaco-button", { hasText: "Trash" }).click();
  const gone = () => !existsSync(join(folder, "mix"));
  await until("it is deleted, for good where there is no trash", async () => {
    const forGood = vscode.page.locator(".monaco-dialog-box .monaco-button", {
      hasText: "Permanently",
    });
    if ((await forGood.count()) > 0) await forGood.click();
    return gone();
  });
});
