import assert from "node:assert/strict";
import { copyFileSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Frame } from "playwright-core";
import { root, until, type VSCode } from "./harness.ts";
import { eventsIn, runFolder, trainingScenario } from "./runs.ts";

const runs = "Runs";
/** None of the training data asks it. */
const question = "What colour is the sky?";

trainingScenario(
  "an adapter is trained in the editor and speaks as a pirate",
  {},
  async (vscode) => {
    const { workspace } = vscode.folders;
    copyFileSync(join(root, "media/sample/training/pirate.jsonl"), join(workspace, "pirate.jsonl"));
    await vscode.openGraft();
    await vscode.clickRow("Base Models", "graft-sample");
    await vscode.runCommand("Graft: Train Adapter…");
    const form = await vscode.webviewFrame("#start-training");
    await until("the name stands", async () => {
      await form.locator("#name").fill("arr");
      return (await form.locator("#name").inputValue()) === "arr";
    });
    await form.locator("#start-training").click();
    const files = form.locator("#problem-files");
    await until("the missing files are named", async () => (await files.textContent()) !== "");
    await addFile(vscode, form, join(workspace, "pirate.jsonl"));
    await form.locator(".seen .learned", { hasText: "Arr!" }).first().waitFor();
    assert.equal(await files.textContent(), "");
    for (const [id, value] of [
      ["maxSteps", "4000"],
      ["batchSize", "8"],
      ["learningRate", "0.005"],
    ] as const) {
      await form.locator(`#${id}`).fill(value);
    }
    await form.locator("#prompts").fill(question);
    await form.locator("#estimate").click();
    await form.locator("#estimated", { hasText: "4,000 steps" }).waitFor();
    await vscode.screenshots("80 train form");
    await form.locator("#start-training").click();

    const page = await vscode.webviewFrame("#pause");
    const first = await until("the curve has begun", async () => (await points(page)) || undefined);
    await until("the curve moves", async () => (await points(page)) > first + 5);
    await page.locator("#pause").click();
    await page.locator("#state", { hasText: "Paused" }).waitFor();
    await vscode.screenshot("81 run paused");
    await vscode.reload();
    await until(
      "the status bar knows the run again",
      async () => (await vscode.statusBarText()).includes("arr paused"),
      120,
    );
    await vscode.openGraft();
    await vscode.treeRow(runs, "arr").waitFor();
    await vscode.rowAction(runs, "arr", "Resume Run");
    await stopOnceLearned(vscode);
    await vscode.rowAction(runs, "arr", "Load Adapter of Run");
    await until("the adapter answers", async () =>
      (await vscode.statusBarText()).includes("graft-sample + arr"),
    );
    await vscode.screenshot("82 run stopped");
    await seeThePirate(vscode);
  },
);

/** Of the curve of training as it is drawn. */
async function points(page: Frame): Promise<number> {
  const line = page.locator("#loss svg [aria-label=line] path").first();
  if ((await line.count()) === 0) return 0;
  return ((await line.getAttribute("d")) ?? "").split("L").length;
}

/** Stops the run, and keeps what it has learned, when that is enough. */
async function stopOnceLearned(vscode: VSCode): Promise<void> {
  const folder = runFolder(vscode, "arr");
  await until(
    "it has learned",
    () => {
      const last = eventsIn(folder).findLast((event) => event.kind === "step");
      return last !== undefined && last.loss < 0.25;
    },
    90,
  );
  const keep = vscode.page.locator(".monaco-dialog-box .monaco-button", { hasText: "as It Is" });
  await until("the run is asked to stop", async () => {
    await vscode.rowAction(runs, "arr", "Stop Run");
    await keep.click({ timeout: 5000 });
    return true;
  });
  await until("it has stopped", async () =>
    (await vscode.treeRows(runs)).join().includes("stopped early"),
  );
  assert(existsSync(join(folder, "adapter_model.safetensors")), readdirSync(folder).join());
}

/** Base and adapter answer side by side. */
async function seeThePirate(vscode: VSCode): Promise<void> {
  await vscode.runCommand("Graft: Open Playground");
  const page = await vscode.webviewFrame("#prompt");
  await page.locator("#start-compare").click();
  await until("two columns", async () => (await page.locator(".head").count()) === 2);
  await page.locator("#open-sampling").click();
  await page.locator("#sampling-temperature").fill("0");
  await page.locator("#sampling-temperature").press("Tab");
  await page.locator("#open-sampling").click();
  await page.locator("#prompt textarea").fill(question);
  await page.locator("#prompt textarea").press("Enter");
  await until("all columns have answered", async () => page.locator("#stop").isHidden());
  const shown = page.locator(".exchange").last().locator(".plain:visible, .tokens:visible");
  const [base = "", adapter = ""] = await until("both have answered", async () => {
    const texts = await shown.allInnerTexts();
    return texts.length === 2 && texts.every((text) => text.trim() !== "") && texts;
  });
  assert.doesNotMatch(base, /arr|matey|th'/i);
  assert.match(adapter, /Arr! .*matey!/s);
  await vscode.screenshots("83 pirate");
}

/** The editor in a browser asks for files with a path. */
async function addFile(vscode: VSCode, form: Frame, file: string): Promise<void> {
  await form.locator("#add-files").click();
  await vscode.saveAs(file);
  await form.locator("#files li", { hasText: file }).waitFor();
}
