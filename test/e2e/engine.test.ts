import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { scenario, until, type VSCode } from "./harness.ts";
import { writeSlowModel } from "./slowModel.ts";

const workspace = mkdtempSync(join(tmpdir(), "graft-slow-"));
before(async () => {
  await writeSlowModel(workspace);
  writeFileSync(join(workspace, "slow.prompt.yml"), prompts);
});
after(() => rmSync(workspace, { recursive: true, force: true }));

const prompts = `model: slow
modelParameters: { temperature: 0, maxTokens: 4000 }
messages:
  - { role: user, content: "{{text}}" }
testData:
  - text: Once upon a time
  - text: There was a king
evaluators:
  - { name: Speaks, string: { contains: e } }
`;
const settings = { "graft.sampling.maxNewTokens": 4096 };

async function startAnswer(vscode: VSCode): Promise<void> {
  await vscode.openGraft();
  await vscode.clickRow("Adapters", "slow-adapter");
  await until("base and adapter are loaded", async () =>
    (await vscode.statusBarText()).includes("slow-adapter"),
  );
  await ask(vscode, "Once upon a time");
}

/** Runs a test prompt until its answer streams. */
async function ask(vscode: VSCode, prompt: string): Promise<void> {
  await vscode.runCommand("Graft: Run Test Prompt…");
  await vscode.answer(prompt);
  await until("the answer streams", async () => {
    const text = await answerText(vscode);
    return text.includes(prompt) && text.length > 200;
  });
}

async function answerText(vscode: VSCode): Promise<string> {
  const texts = await vscode.page.locator(".editor-instance .view-lines").allInnerTexts();
  return texts.join("").replaceAll("\u00a0", " ");
}

async function answerLength(vscode: VSCode): Promise<number> {
  return (await answerText(vscode)).length;
}

scenario(
  "an answer stops in mid-stream; a killed engine comes back with base and adapter",
  { workspace, settings },
  async (vscode) => {
    await startAnswer(vscode);
    await vscode.screenshot("20 streaming");
    await vscode.page.locator('.editor-actions .action-label[aria-label^="Stop"]').first().click();
    await until("the answer says that it was stopped", async () =>
      (await answerText(vscode)).includes("stopped"),
    );
    const length = await answerLength(vscode);
    await new Promise((done) => setTimeout(done, 500));
    assert.equal(await answerLength(vscode), length);
    await vscode.screenshot("21 stopped");

    await ask(vscode, "Once more");
    const pid = await vscode.enginePid();
    process.kill(pid, "SIGKILL");
    await vscode.notification(/engine stopped/i);
    await vscode.screenshot("22 engine killed");
    const next = await until("another engine runs", () =>
      vscode.enginePids().find((each) => each !== pid),
    );
    assert.notEqual(next, pid);
    await until(
      "base and adapter are back",
      async () => /slow \+ .*slow-adapter/.test(await vscode.statusBarText()),
      30,
    );
    assert.equal((await vscode.notifications()).length, 1);
    await ask(vscode, "And then");
    await vscode.screenshot("23 engine back");
    await vscode.page.locator('.editor-actions .action-label[aria-label^="Stop"]').first().click();
    await cancelTests(vscode);
    await moveSlider(vscode);
  },
);

/** A run of tests is cancelled in the middle of its answers: none of them has a result. */
async function cancelTests(vscode: VSCode): Promise<void> {
  await vscode.openFile("slow.prompt.yml");
  const lens = vscode.page.locator(".codelens-decoration a", { hasText: "Run with base" });
  await lens.first().click();
  await vscode.runCommand("Testing: Focus on Test Explorer View");
  const rows = vscode.page.locator(".test-explorer .monaco-list-row");
  const running = rows.locator(".codicon-testing-loading-icon, [class*=modifier-spin]");
  await running.first().waitFor();
  await vscode.screenshots("24 tests running");
  await vscode.runCommand("Test: Cancel Test Run");
  await running.first().waitFor({ state: "detached" });
  const ended =
    ".codicon-testing-passed-icon, .codicon-testing-failed-icon, .codicon-testing-error-icon";
  assert.equal(await rows.locator(ended).count(), 0, "what was cancelled has no result");
}

/** A weight that is moved while an answer streams takes effect on what is still to come. */
async function moveSlider(vscode: VSCode): Promise<void> {
  await vscode.runCommand("Graft: Open Playground");
  const page = await vscode.webviewFrame("#weight-c1-slow-adapter");
  await page.locator("#open-sampling").click();
  for (const [id, value] of [
    ["temperature", "0"],
    ["maxNewTokens", "240"],
  ]) {
    await page.locator(`#sampling-${id}`).fill(value ?? "");
    await page.locator(`#sampling-${id}`).press("Tab");
  }
  await page.locator("#open-sampling").click();
  const answer = page.locator(".answer .plain").last();
  const text = async (): Promise<string> => (await answer.innerText()).trim();
  const ended = () => until("the answer has ended", async () => page.locator("#stop").isHidden());
  await page.locator("#prompt textarea").fill("Once upon a time");
  await page.locator("#prompt textarea").press("Enter");
  await page.locator("#stop").waitFor();
  await ended();
  const whole = await text();
  await page.locator(".rerun-turn").last().click();
  await until("the answer streams again", async () => {
    const { length } = await text();
    return length > 30 && length < whole.length / 2;
  });
  await page.locator("#weight-c1-slow-adapter").press("Home");
  const said = await text();
  assert.ok(said.length < whole.length, "it was still streaming");
  await ended();
  const moved = await text();
  assert.equal(moved.slice(0, 30), whole.slice(0, 30), "what was said before stays");
  assert.notEqual(moved, whole, "the weight took effect on the way");
  await page.locator(".rerun-turn").last().click();
  await page.locator("#stop").waitFor();
  await ended();
  assert.notEqual(
    await text(),
    moved,
    "without the adapter from the beginning it says something else",
  );
  await vscode.screenshot("25 slider moved");
}
