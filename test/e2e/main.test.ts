import assert from "node:assert/strict";
import { scenario, until, type VSCode } from "./harness.ts";

const bases = "Base Models";
const adapters = "Adapters";
const question = "What colour is the sky?";

/** Loads the sample base from the tree. */
async function loadSample(vscode: VSCode): Promise<void> {
  await vscode.openGraft();
  await vscode.clickRow(bases, "graft-sample");
  await status(vscode, "graft-sample");
}

async function status(vscode: VSCode, text: string): Promise<void> {
  await until(`the status bar says ${text}`, async () =>
    (await vscode.statusBarText()).includes(text),
  );
}

/** Runs a test prompt from the palette and waits for the answer in its document. */
async function ask(vscode: VSCode, prompt: string, expected: string): Promise<void> {
  await vscode.runCommand("Graft: Run Test Prompt…");
  await vscode.answer(prompt);
  await until(`the answer is ${expected}`, async () =>
    (await answerText(vscode)).includes(expected),
  );
}

async function answerText(vscode: VSCode): Promise<string> {
  const lines = await vscode.page.locator(".editor-instance .view-lines").allInnerTexts();
  return lines.join("\n").replaceAll("\u00a0", " ");
}

scenario("the sample answers with and without adapters", {}, async (vscode) => {
  // Before anything is loaded a command says what it needs, and offers it.
  await vscode.runCommand("Graft: Run Test Prompt…");
  const toast = await vscode.notification(/base model/i);
  assert.ok((await toast.getByRole("button").count()) > 0);
  await vscode.screenshot("10 no base");
  await vscode.runCommand("Notifications: Clear All Notifications");

  await vscode.openGraft();
  await until("the sample is listed", async () => (await vscode.treeRows(adapters)).length >= 5);
  await vscode.screenshot("01 explorer");
  await loadSample(vscode);
  await vscode.activate(adapters, "lora-pirate");
  await ask(vscode, question, "Arr! Th' sky be blue, matey!");
  await vscode.screenshot("02 pirate answers");
  await vscode.activate(adapters, "lora-json");
  await ask(vscode, question, '{"topic": "colour", "answer": "blue"}');
  await vscode.screenshot("03 json answers");
  await vscode.runCommand("Graft: Deactivate Adapters");
  await until(
    "no adapter is active",
    async () => !(await vscode.statusBarText()).includes("lora-json"),
  );
  await ask(vscode, question, "The sky is blue.");
  await vscode.screenshot("04 base answers");
  assert.deepEqual(await vscode.notifications(), []);
});

scenario("a thread under a selection streams and takes a reply", {}, async (vscode) => {
  await loadSample(vscode);
  await vscode.activate(adapters, "lora-pirate");
  await vscode.openFile("prompts.md");
  await vscode.selectLine(3);
  await vscode.runCommand("Graft: Run Selection as Prompt");
  await vscode.thread().waitFor();
  await until("the thread answers", async () =>
    (await vscode.threadTexts()).join(" ").includes("Th' sky be blue"),
  );
  await vscode.screenshot("06 inline thread");
  await vscode.thread().locator(".review-thread-reply-button").click();
  await vscode.page.keyboard.type("What does a cow say?");
  await vscode.thread().locator(".form-actions .monaco-button").first().click();
  await until("the reply is answered", async () =>
    (await vscode.threadTexts()).join(" ").includes("moo"),
  );
  await vscode.screenshot("07 inline reply");
});

scenario("the playground is a chat with adapters at hand", {}, async (vscode) => {
  await loadSample(vscode);
  await vscode.activate(adapters, "lora-pirate");
  await vscode.runCommand("Graft: Open Playground");
  const page = await vscode.webviewFrame("#prompt");
  const adapter = page.locator("#adapter-c1-lora-pirate");
  await page.locator("#weight-c1-lora-pirate").waitFor();
  await page.locator("#adapters-c1").click();
  assert.equal(await adapter.isChecked(), true);
  await page.locator("body").press("Escape");
  await page.locator("#open-sampling").click();
  await page.locator("#sampling-temperature").fill("0");
  await page.locator("#sampling-temperature").press("Tab");
  await page.locator("#prompt textarea").fill(question);
  await page.locator("#prompt textarea").press("Enter");
  await page.locator(".answer", { hasText: "Arr! Th' sky be blue, matey!" }).waitFor();
  await vscode.screenshot("08 playground");
  await page.locator("#adapters-c1").click();
  await adapter.uncheck();
  await page.locator("body").press("Escape");
  await page.locator("#prompt textarea").fill("What does a cow say?");
  await page.locator("#prompt textarea").press("Enter");
  await page.locator(".answer", { hasText: "A cow says moo." }).waitFor();
  await until("the answer is complete", async () => page.locator("#stop").isHidden());
  await vscode.reload();
  const again = await vscode.webviewFrame("#prompt");
  await again.locator(".answer", { hasText: "Arr! Th' sky be blue, matey!" }).waitFor();
  await vscode.screenshot("09 playground after reload");
});
