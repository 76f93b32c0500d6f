import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before } from "node:test";
import { root, scenario, until, type VSCode } from "./harness.ts";
import { writeSlowModel } from "./slowModel.ts";

const client = join(tmpdir(), `graft-client-${process.pid}.vsix`);

before(() => {
  const vsce = join(root, "node_modules/.bin/vsce");
  const flags = ["--skip-license", "--allow-missing-repository", "--no-dependencies"];
  execFileSync(vsce, ["package", ...flags, "--out", client], {
    cwd: join(root, "test/e2e/apiClient"),
    stdio: "pipe",
  });
});

/** What the client wrote down; asked for its consent on the way. */
async function heard<T>(vscode: VSCode, name: string): Promise<T> {
  const file = join(vscode.folders.workspace, `${name}.json`);
  const allow = vscode.page.locator(".monaco-dialog-box .monaco-button", { hasText: "Allow" });
  const read = await until(`the client has written ${name}.json`, async () => {
    if (await allow.isVisible()) {
      await vscode.screenshot("90 chat consent");
      await allow.click();
    }
    return existsSync(file) && readFileSync(file, "utf8");
  });
  return JSON.parse(read) as T;
}

scenario(
  "another extension loads, attaches and generates through the API and through chat models",
  // An agent of the Chat view needs tools, which the sample's template does not have.
  {
    settings: { "chat.disableAIFeatures": false, "chat.agent.enabled": false },
    extensions: () => [client],
  },
  async (vscode) => {
    await writeSlowModel(vscode.folders.workspace);
    await vscode.runCommand("Graft Client: Ask before Anything Is Loaded");
    const first = await heard<{
      early: string;
      names: string[];
      pieces: number;
      after: string;
    }>(vscode, "first");
    const told = JSON.stringify(first);
    assert.equal(first.early, "not-found", told);
    assert.deepEqual(first.names?.toSorted(), ["graft-sample", "slow"], told);
    assert.ok(first.pieces >= 5 && first.pieces < 1000, told);
    assert.ok(first.after.length > 0, told);

    await vscode.runCommand("Graft Client: Ask the API");
    const api = await heard<Record<string, never>>(vscode, "api");
    const text = JSON.stringify(api);
    const { version, model, pieces, answer, plain, finish, json, tokens } = api as never as {
      version: string;
      model: { name: string };
      pieces: string[];
      answer: { text: string };
      plain: { text: string; finish: string };
      finish: string;
      json: { text: string; finish: string };
      tokens: number;
    };
    assert.deepEqual([version, model?.name], ["1.0", "graft-sample"], text);
    assert.match(answer.text, /Arr/);
    assert.equal(pieces.join(""), answer.text);
    assert.ok(pieces.length > 1, "nothing was streamed");
    assert.deepEqual([plain.text, plain.finish, finish], ["The sky is", "stop", "cancelled"]);
    assert.match(json.text, /^\s*\{\s*"ok"\s*:\s*(true|false)\s*\}$/);
    assert.ok(tokens > 5);

    await vscode.runCommand("Graft Client: Ask a Chat Model");
    const chat = await heard<{
      models: { name: string; maxInputTokens: number }[];
      pieces: string[];
      tokens: number;
      tooLong: string;
    }>(vscode, "chat");
    assert.deepEqual(
      chat.models?.map(({ name }) => name),
      ["graft-sample", "graft-sample + lora-pirate"],
      JSON.stringify(chat),
    );
    assert.equal(chat.pieces.join(""), answer.text);
    assert.ok(chat.models.every(({ maxInputTokens }) => maxInputTokens === 128));
    assert.ok(chat.tokens > 3);
    assert.match(chat.tooLong, /The prompt has \d+ tokens.*256/);
    await pickInChat(vscode);
  },
);

/** The Chat view's own picker has base and adapters. */
async function pickInChat(vscode: VSCode): Promise<void> {
  const { page } = vscode;
  await vscode.runCommand("Chat: Open Chat");
  const picker = page.locator(".interactive-input-part .action-label", {
    hasText: /Models|graft-sample/,
  });
  await picker.first().click();
  // The picker shows the chosen model; others are found by a part of their name.
  await page.locator(".action-widget input").fill("pirate");
  const row = page.locator(".action-widget .monaco-list-row", {
    hasText: "graft-sample + lora-pirate",
  });
  await row.first().waitFor();
  await vscode.screenshots("92 chat model picker");
  await row.first().click();
  // Sending needs an agent of VS Code's chat (Copilot's), which is not here; models answer through
  // vscode.lm above.
  await page
    .locator(".interactive-input-part .action-label", { hasText: "graft-sample + lora" })
    .first()
    .waitFor();
  await vscode.screenshots("93 chat model chosen");
}
