import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { accessibilityFindings } from "./axe.ts";
import { type Look, looks, until, type VSCode } from "./harness.ts";
import { stepsIn, trainingScenario, writeRun } from "./runs.ts";

const runs = "Läufe";
const german = { language: "de" };

trainingScenario("training in German, by keyboard, in every look", german, async (vscode) => {
  writeRun(vscode, "lauf", {
    settings: { maxSteps: 20_000, saveEvery: 0 },
    samplePrompts: ["Wer bist du?"],
  });
  const texts = join(vscode.folders.workspace, "texte.jsonl");
  const record = { prompt: "What colour is the sky?", completion: "Arr! Blue, matey!" };
  writeFileSync(texts, `${JSON.stringify(record)}\n{"prompt": "halb\n${JSON.stringify(record)}\n`);
  await vscode.openGraft("Basismodelle");
  await vscode.clickRow("Basismodelle", "graft-sample");
  const found = await trainByKeyboard(vscode, texts);
  await vscode.rowAction(runs, "lauf", "Lauf fortsetzen");
  const page = await vscode.webviewFrame("#saveCheckpoint");
  await page.locator("#saveCheckpoint").click();
  await page.locator("#checkpoints tbody tr").first().waitFor();
  await page.locator("#pause").click();
  await page.locator("#state", { hasText: "Angehalten" }).waitFor();
  found.push(...(await readInEveryLook(vscode, "#resume", "89 run german")));
  assert.deepEqual(found, []);
});

/** Tab alone leads from field to field; Enter and Space start what a click would. */
async function trainByKeyboard(vscode: VSCode, texts: string): Promise<string[]> {
  await vscode.runCommand("Graft: Adapter trainieren…");
  const form = await vscode.webviewFrame("#start-training");
  await form.getByText("Rang: wie viele Richtungen").first().waitFor();
  await form.locator("#name").focus();
  const tabTo = async (selector: string): Promise<void> => {
    for (let presses = 0; presses < 80; presses++) {
      if ((await form.locator(`${selector}:focus, ${selector}:focus-within`).count()) > 0) return;
      await vscode.page.keyboard.press("Tab");
    }
    assert.fail(`Tab does not lead to ${selector}`);
  };
  // VS Code selects all once more, a moment after the page has: Control+A would take the first letter away.
  await vscode.page.keyboard.press("End");
  await vscode.page.keyboard.press("Shift+Home");
  await vscode.page.keyboard.type("tasten");
  await tabTo("#add-files");
  await vscode.page.keyboard.press("Enter");
  await vscode.saveAs(texts);
  await form.locator("#broken").waitFor();
  const found = await readInEveryLook(vscode, "#start-training", "89 form german");
  await form.locator("#add-files").focus();
  await tabTo("#leave-out");
  await vscode.page.keyboard.press("Enter");
  await form.locator("#leave-out").waitFor({ state: "detached" });
  await form.locator("#add-files").focus();
  await tabTo("#maxSteps");
  await vscode.page.keyboard.type("15");
  await tabTo("#start-training");
  await vscode.page.keyboard.press("Enter");
  const folder = join(vscode.folders.workspace, "graft-runs/tasten");
  await until("the run is done", () => stepsIn(folder).at(-1) === 15);
  await vscode.notification(/tasten/);
  await vscode.runCommand("Notifications: Clear All Notifications");
  return found;
}

async function readInEveryLook(vscode: VSCode, selector: string, name: string): Promise<string[]> {
  const found: string[] = [];
  for (const look of Object.keys(looks) as Look[]) {
    await vscode.look(look);
    const findings = await until(`${name} is read`, async () =>
      accessibilityFindings(await vscode.webviewFrame(selector)),
    );
    found.push(...findings.map((finding) => `${name} in ${look}: ${finding}`));
    await vscode.screenshot(`${name} ${look}`);
  }
  return found;
}
