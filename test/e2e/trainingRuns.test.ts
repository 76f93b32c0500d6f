import assert from "node:assert/strict";
import { appendFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import type { Frame } from "playwright-core";
import { pirateData } from "../support/sampleRun.ts";
import { until, type VSCode } from "./harness.ts";
import { eventsIn, pidIn, runFolder, stepsIn, trainingScenario, writeRun } from "./runs.ts";

const runs = "Runs";
/** Long enough that nothing ends by itself. */
const long = { maxSteps: 20_000, saveEvery: 0 };

trainingScenario("runs are saved, killed, continued, compared and deleted", {}, async (vscode) => {
  const first = writeRun(vscode, "first", { settings: long });
  await vscode.openGraft();
  await vscode.rowAction(runs, "first", "Continue Run");
  const page = await vscode.webviewFrame("#saveCheckpoint");
  await saveTwice(page, first);
  await killEngine(vscode, first);
  await killRun(vscode, first, page);
  await continueFromLastWhole(vscode, first, page);
  await trainOnceMore(vscode);
  await deleteRun(vscode);
  // Checkpoints stand with their run.
  assert(!(await vscode.treeRows("Adapters")).join().includes("checkpoint-"));
  await continueAdapter(vscode);
});

/** Two checkpoints by the page's button; each is listed there. */
async function saveTwice(page: Frame, folder: string): Promise<void> {
  const listed = page.locator("#checkpoints tbody tr");
  for (const count of [1, 2]) {
    await page.locator("#saveCheckpoint").click();
    await until(`${count} checkpoints are listed`, async () => (await listed.count()) === count);
  }
  const saved = eventsIn(folder).filter((event) => event.kind === "checkpoint");
  assert.equal(saved.length, 2);
}

/** The engine that answers prompts is another process: without it the run goes on. */
async function killEngine(vscode: VSCode, folder: string): Promise<void> {
  const trains = pidIn(folder);
  const before = stepsIn(folder).at(-1) ?? 0;
  const engines = vscode.enginePids().filter((pid) => pid !== trains);
  assert(trains !== undefined && engines.length > 0, `${trains}; ${engines.join()}`);
  for (const pid of engines) process.kill(pid, "SIGKILL");
  await until("the run goes on", () => (stepsIn(folder).at(-1) ?? 0) > before + 5);
}

/** Killed, with its newest checkpoint damaged: view, page and a message say so. */
async function killRun(vscode: VSCode, folder: string, page: Frame): Promise<void> {
  const newest = eventsIn(folder).findLast((event) => event.kind === "checkpoint");
  assert(newest);
  appendFileSync(join(newest.path, "optimizer.pt"), "x");
  process.kill(pidIn(folder) ?? 0, "SIGKILL");
  await vscode.notification(/first was interrupted at step/);
  await until("the view says so", async () =>
    (await vscode.treeRows(runs)).join().includes("interrupted"),
  );
  await page.locator("#state", { hasText: "Interrupted" }).waitFor();
  await vscode.screenshot("84 run interrupted");
  await vscode.runCommand("Notifications: Clear All Notifications");
}

async function continueFromLastWhole(vscode: VSCode, folder: string, page: Frame): Promise<void> {
  const [whole, newest] = eventsIn(folder).flatMap((event) =>
    event.kind === "checkpoint" ? [event.step] : [],
  );
  await vscode.rowAction(runs, "first", "Continue Run");
  await page.locator("#state", { hasText: "Running" }).waitFor();
  await page.locator(".notice", { hasText: `checkpoint-${newest}` }).waitFor();
  const next = await until("it takes a step", () => {
    const events = eventsIn(folder);
    const start = events.findLastIndex(
      (event) => event.kind === "state" && event.state === "preparing",
    );
    return events.slice(start).flatMap((event) => (event.kind === "step" ? [event.step] : []))[0];
  });
  assert.equal(next, (whole ?? 0) + 1);
  await page.locator("#pause").click();
  await page.locator("#state", { hasText: "Paused" }).waitFor();
  await vscode.screenshot("85 run continued");
}

/** From run.json, with another name; both curves are in one chart. */
async function trainOnceMore(vscode: VSCode): Promise<void> {
  await vscode.runAndPick("Graft: Train Once More…", "first");
  const form = await vscode.webviewFrame("#start-training");
  assert.equal(await form.locator("#name").inputValue(), "first");
  assert.equal(await form.locator("#maxSteps").inputValue(), "20000");
  assert.equal(await form.locator("#learningRate").inputValue(), "0.01");
  await form.locator("#name").fill("second");
  await form.locator("#learningRate").fill("0.001");
  await form.locator("#maxSteps").fill("60");
  await form.locator("#start-training").click();
  await vscode.notification(/second is trained/);
  await vscode.runCommand("Notifications: Clear All Notifications");
  const second = await until("the page of the second run", async () => {
    for (const frame of vscode.page.frames()) {
      const title = frame.locator("h1", { hasText: /^second$/ });
      if ((await title.count()) > 0 && (await title.isVisible())) return frame;
    }
    return undefined;
  });
  await second.locator("vscode-checkbox", { hasText: "first" }).click();
  await second.locator("#loss-view-table").click();
  const rows = second.locator("#loss tbody th");
  const names = async (): Promise<Set<string>> =>
    new Set((await rows.allInnerTexts()).map((text) => text.split(" · ")[0] ?? ""));
  await until("the table begins with the second run", async () => (await names()).has("second"));
  await second.locator("#loss-view-picture").click();
  await until("both are in one picture", async () => {
    const said = await second.locator("#loss svg").getAttribute("aria-label");
    return said?.includes("2 runs");
  });
  await vscode.screenshot("86 runs compared");
}

/** Its folder goes to the trash after a question. */
async function deleteRun(vscode: VSCode): Promise<void> {
  const button = (text: string) =>
    vscode.page.locator(".monaco-dialog-box .monaco-button", { hasText: text });
  await until("the question is asked", async () => {
    await vscode.runAndPick("Graft: Delete Run…", "second");
    await button("Move to Trash").waitFor({ timeout: 5000 });
    return true;
  });
  await vscode.screenshot("87 run deleted");
  await button("Move to Trash").click();
  const folder = runFolder(vscode, "second");
  await until("its folder is gone", async () => {
    // A machine without a trash asks once more.
    if (await button("Delete Permanently").isVisible())
      await button("Delete Permanently").click({ timeout: 2000 });
    return !existsSync(folder);
  });
  await until(
    "its row is gone",
    async () => !(await vscode.treeRows(runs)).join().includes("second"),
  );
}

/** An adapter that Python trained learns on; what was before stays as it was. */
async function continueAdapter(vscode: VSCode): Promise<void> {
  await vscode.runAndPick("Graft: Continue Training…", "lora-pirate");
  const form = await vscode.webviewFrame("#start-training");
  assert.match((await form.locator("#start").textContent()) ?? "", /lora-pirate/);
  await form.locator("#add-files").click();
  await vscode.saveAs(pirateData);
  await form.locator("#files li", { hasText: pirateData }).waitFor();
  await form.locator("#maxSteps").fill("15");
  await form.locator("#start-training").click();
  await vscode.notification(/lora-pirate-more is trained/);
  const folder = runFolder(vscode, "lora-pirate-more");
  const losses = eventsIn(folder).flatMap((event) => (event.kind === "step" ? [event.loss] : []));
  assert(losses.length === 15 && (losses[0] ?? 9) < 1, losses.join());
  await vscode.screenshot("88 adapter continued");
}
