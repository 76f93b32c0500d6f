import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { scenario, until, type VSCode } from "./harness.ts";
import { writeSlowModel } from "./slowModel.ts";

const workspace = mkdtempSync(join(tmpdir(), "graft-slow-"));
before(() => writeSlowModel(workspace));
after(() => rmSync(workspace, { recursive: true, force: true }));

const settings = { "graft.sampling.maxNewTokens": 4096 };

async function startAnswer(vscode: VSCode): Promise<void> {
  await vscode.openGraft();
  await vscode.clickRow("Adapters", "slow-adapter");
  await until("base and adapter are loaded", async () =>
    (await vscode.statusBarText()).includes("slow-adapter"),
  );
  await vscode.runCommand("Graft: Run Test Prompt…");
  await vscode.answer("Once upon a time");
  await until("the answer streams", async () => (await answerLength(vscode)) > 200);
}

async function answerText(vscode: VSCode): Promise<string> {
  return (await vscode.page.locator(".editor-instance .view-lines").allInnerTexts()).join("");
}

async function answerLength(vscode: VSCode): Promise<number> {
  return (await answerText(vscode)).length;
}

scenario("an answer stops in mid-stream", { workspace, settings }, async (vscode) => {
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
});

scenario(
  "a killed engine comes back with base and adapter",
  { workspace, settings },
  async (vscode) => {
    await startAnswer(vscode);
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
    await vscode.runCommand("Graft: Run Test Prompt…");
    await vscode.answer("And then");
    await until("it answers again", async () => (await answerLength(vscode)) > 200);
    await vscode.screenshot("23 engine back");
  },
);
