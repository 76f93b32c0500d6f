import assert from "node:assert/strict";
import { accessibilityFindings } from "./axe.ts";
import { scenario, until, type VSCode } from "./harness.ts";

const adapters = "Adapters";
const themes = ["Default Dark Modern", "Default Light Modern", "Default High Contrast"];

/** A page in every look; the inspector and the comparison have theirs in inspector.test.ts. */
async function check(vscode: VSCode, selector: string, page: string): Promise<string[]> {
  const frame = await vscode.webviewFrame(selector);
  const found: string[] = [];
  for (const theme of themes) {
    await vscode.useTheme(theme);
    for (const finding of await accessibilityFindings(frame)) {
      found.push(`${page}, ${theme}: ${finding}`);
    }
    await vscode.screenshot(`46 ${page} ${theme}`);
  }
  return found;
}

scenario("no page has a serious finding of axe-core", {}, async (vscode) => {
  await vscode.openGraft();
  await vscode.clickRow(adapters, "lora-pirate");
  await until("it is active", async () => (await vscode.statusBarText()).includes("lora-pirate"));
  const found: string[] = [];
  await vscode.runCommand("Graft: Open Playground");
  found.push(...(await check(vscode, "#prompt", "playground")));
  await vscode.runCommand("Graft: Compare Status");
  found.push(...(await check(vscode, "#layer-filter", "status")));
  await vscode.rowAction(adapters, "lora-pirate", "Open Inspector");
  const inspector = await vscode.webviewFrame("#modules");
  await inspector.locator('[id="open-adapter_model.safetensors"]').click();
  await vscode.page.locator(".tab.active", { hasText: "adapter_model.safetensors" }).waitFor();
  found.push(...(await check(vscode, "#tensor-grid", "tensors")));
  assert.deepEqual(found, []);
});
