import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { scenario, until, type VSCode } from "./harness.ts";
import { writeSlowModel } from "./slowModel.ts";

const adapters = "Adapters";

scenario("DoRA becomes a LoRA, which is not replaced unasked", {}, async (vscode) => {
  await vscode.openGraft();
  await vscode.activate(adapters, "lora-pirate");
  await vscode.runCommand("Graft: Convert Adapter…");
  await vscode.pick("dora-shout");
  const forms = await until("the forms are offered", async () => {
    const all = (await vscode.picks()).join(" | ");
    return all.includes("Plain LoRA") && all;
  });
  assert.ok(!forms.includes("GGUF"), forms);
  await vscode.screenshot("50 convert forms");
  await vscode.pick("Plain LoRA");
  await vscode.pick("one rank for all modules");
  await vscode.answer("4");
  await vscode.pick("dora-shout-lora");
  await vscode.notification(/dora-shout converted into .*rank 4/);
  const folder = join(vscode.folders.workspace, "adapters/dora-shout-lora");
  await vscode.treeRow(adapters, "dora-shout-lora").waitFor();
  const groups = vscode.view(adapters).locator('.monaco-list-row[aria-level="1"]');
  assert.equal(await groups.count(), 1, "it is beside the others of its base");
  await vscode.activate(adapters, "dora-shout-lora");
  await vscode.runCommand("Graft: Compare Status");
  const page = await vscode.webviewFrame(".compare-table");
  await page.locator(".compare-table thead", { hasText: "dora-shout-lora" }).waitFor();
  await vscode.screenshot("51 compare status dark");

  await vscode.runAndPick("Graft: Unload Adapter", "dora-shout-lora");
  const before = contentOf(folder);
  await vscode.runCommand("Graft: Save Adapter As…");
  await vscode.pick("lora-pirate");
  await vscode.pick("safetensors");
  await chooseFile(vscode, folder);
  const dialog = vscode.page.locator(".monaco-dialog-box", { hasText: "holds an adapter" });
  await dialog.waitFor();
  await vscode.screenshot("52 overwrite");
  await dialog.locator(".monaco-button", { hasText: "Cancel" }).click();
  await dialog.waitFor({ state: "hidden" });
  assert.deepEqual(contentOf(folder), before);
});

scenario("a LoRA becomes files of other runtimes, and comes back", {}, async (vscode) => {
  await vscode.openGraft();
  await vscode.clickRow("Base Models", "graft-sample");
  await active(vscode, "graft-sample");
  for (const [form, type, file] of [
    ["GGUF", "fp16", "pirate.gguf"],
    ["ONNX Runtime Adapter", "fp32", "pirate.onnx_adapter"],
  ] as const) {
    const target = join(vscode.folders.workspace, file);
    await vscode.runCommand("Graft: Convert Adapter…");
    await vscode.pick("lora-pirate");
    await vscode.pick(form);
    if (form !== "GGUF") await vscode.pick("Olive");
    await vscode.pick(type);
    await chooseFile(vscode, target);
    await vscode.notification(new RegExp(`converted into .*${file}`));
    await vscode.runCommand("Graft: Import Adapter File…");
    await chooseFile(vscode, target);
    await vscode.pick(`in ${join(vscode.folders.workspace, "adapters")}`);
    await vscode.notification(new RegExp(`${file} converted into .*rank 8`));
  }
  await vscode.treeRow(adapters, "pirate-2").waitFor();
  const groups = vscode.view(adapters).locator('.monaco-list-row[aria-level="1"]');
  assert.equal(await groups.count(), 1, "both are for the loaded base");
  await vscode.screenshot("53 imported");
});

scenario("a conversion that is cancelled leaves nothing", { workspace: {} }, async (vscode) => {
  const { workspace } = vscode.folders;
  await writeSlowModel(workspace);
  mkdirSync(join(workspace, "adapters"));
  const before = readdirSync(workspace, { recursive: true }).sort();
  await vscode.openGraft();
  await vscode.runCommand("Graft: Refresh");
  await vscode.treeRow(adapters, "slow-adapter").waitFor();
  await vscode.rowAction(adapters, "slow-adapter", "Open Inspector");
  const page = await vscode.webviewFrame("#modules");
  await page.locator("#find-intruders").click();
  await page.locator("#computing-cancel").click();
  // Nothing is lost by it, and it is offered as before.
  await page.locator("#find-intruders:visible").waitFor();
  await vscode.runCommand("Graft: Convert Adapter…");
  await vscode.pick("slow-adapter");
  await vscode.pick("Fewer Intruder Dimensions");
  for (const answer of ["10", "0.5", "0.75"]) await vscode.answer(answer);
  await vscode.pick("slow-adapter-reduced");
  const toast = await vscode.notification(/Converting slow-adapter/);
  await vscode.screenshot("54 converting");
  await toast.locator(".monaco-button", { hasText: "Cancel" }).click();
  await toast.waitFor({ state: "hidden" });
  await until("all is as it was", () => {
    const now = readdirSync(workspace, { recursive: true }).sort();
    return JSON.stringify(now) === JSON.stringify(before);
  });
});

async function active(vscode: VSCode, name: string): Promise<void> {
  await until(`${name} is active`, async () => (await vscode.statusBarText()).includes(name));
}

/** Names what is there in the file dialog, which may still be reading the folder when it is asked. */
async function chooseFile(vscode: VSCode, path: string): Promise<void> {
  const up = vscode.quickInput().locator(".monaco-list-row .label-name", { hasText: /^\.\.$/ });
  await up.waitFor();
  const input = vscode.quickInput().locator("input.input");
  await until("the file dialog closes", async () => {
    await input.fill(path, { timeout: 2000 });
    await vscode.page.waitForTimeout(500);
    // It may have put its own suggestion there in the meantime.
    if ((await input.inputValue({ timeout: 2000 })) !== path) return false;
    await vscode.page.keyboard.press("Enter");
    await up.waitFor({ state: "hidden", timeout: 2000 });
    return true;
  });
}

/** Every file of a folder, byte by byte. */
function contentOf(folder: string): [string, Buffer][] {
  const names = readdirSync(folder).sort();
  return names.map((name) => [name, readFileSync(join(folder, name))]);
}
