import assert from "node:assert/strict";
import { scenario, until, type VSCode } from "./harness.ts";

const dark = { settings: { "workbench.colorTheme": "Default Dark Modern" } };

/** The state that the Testing view shows of the row with this label: "failed", "passed"… */
async function testState(vscode: VSCode, label: string): Promise<string> {
  const row = vscode.page.locator(".test-explorer .monaco-list-row", { hasText: label }).first();
  const icon = await row.locator("[class*=codicon-testing-]").first().getAttribute("class");
  return /codicon-testing-(\w+)-icon/.exec(icon ?? "")?.[1] ?? `${icon}`;
}

async function openTesting(vscode: VSCode): Promise<void> {
  await vscode.runCommand("Testing: Focus on Test Explorer View");
  await vscode.page.locator(".test-explorer .monaco-list-row").first().waitFor();
}

function lens(vscode: VSCode, text: string): ReturnType<VSCode["page"]["locator"]> {
  return vscode.page.locator(".codelens-decoration a", { hasText: text });
}

scenario(
  "a prompt file is run, fails with a difference, and keeps its results",
  dark,
  async (vscode) => {
    await vscode.openFile("sky.prompt.yml");
    await lens(vscode, "Compare all").first().waitFor();
    assert.equal(await lens(vscode, "Run with base").count(), 1);
    await vscode.screenshot("80 prompt file");
    await lens(vscode, "Compare all").first().click();
    await until(
      "rows say how they went",
      async () => (await lens(vscode, "2 of 2 passed").count()) === 2,
    );
    // The pirate says Thursday: the sample's own mistake.
    await until(
      "one says that it failed",
      async () => (await lens(vscode, "1 of 2 passed").count()) === 1,
    );
    const page = await vscode.webviewFrame("table");
    const cells = await page.locator("td").allInnerTexts();
    assert(
      cells.some((cell) => cell.includes("Arr! Th' sky be blue, matey!")),
      cells.join(" | "),
    );
    await vscode.screenshot("81 compare all");

    await openTesting(vscode);
    const failed = async (): Promise<boolean> =>
      (await testState(vscode, "sky.prompt.yml")) === "failed";
    await until("the failure is in the Testing view", failed);
    await vscode.screenshot("82 test explorer");

    await vscode.runCommand("Test: Peek Output");
    await vscode.screenshot("83 test difference");

    await vscode.reload();
    await openTesting(vscode);
    await until("results are there after a reload", failed);
    assert.deepEqual(vscode.enginePids(), [], "no engine was started for it");
    await vscode.screenshot("84 results after reload");
  },
);
