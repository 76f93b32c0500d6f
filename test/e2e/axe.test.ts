import assert from "node:assert/strict";
import { accessibilityFindings } from "./axe.ts";
import { scenario, until, type VSCode } from "./harness.ts";

const adapters = "Adapters";
/** A theme is set before the window opens: one that changes later is not followed at once. */
const themes = {
  dark: "Default Dark Modern",
  light: "Default Light Modern",
  contrast: "Default High Contrast",
};

for (const [look, theme] of Object.entries(themes)) {
  const settings = { "workbench.colorTheme": theme };
  scenario(`no page has a serious finding of axe-core in ${look}`, { settings }, async (vscode) => {
    const found: string[] = [];
    const check = async (selector: string, page: string): Promise<void> => {
      // A page that was just shown may be put into a new frame under its reader.
      const findings = await until(`${page} is read`, async () =>
        accessibilityFindings(await vscode.webviewFrame(selector)),
      );
      found.push(...findings.map((finding) => `${page}: ${finding}`));
      await vscode.screenshot(`46 ${page} ${look}`);
    };
    await visitPages(vscode, check);
    assert.deepEqual(found, []);
  });
}

async function visitPages(
  vscode: VSCode,
  check: (selector: string, page: string) => Promise<void>,
): Promise<void> {
  await vscode.openGraft();
  await vscode.activate(adapters, "lora-pirate");
  await vscode.runCommand("Graft: Open Playground");
  await check("#prompt", "playground");
  await vscode.runCommand("Graft: Compare Status");
  await check("#layer-filter", "status");
  await vscode.runAndPick("Graft: Compare Adapters…", "lora-pirate");
  await vscode.pick("dora-shout");
  await check("#merge-words", "compare");
  await vscode.rowAction(adapters, "lora-pirate", "Open Inspector");
  await check("#modules", "inspector");
  const inspector = await vscode.webviewFrame('[id="open-adapter_model.safetensors"]');
  await inspector.locator('[id="open-adapter_model.safetensors"]').click();
  await check("#tensor-grid", "tensors");
}
