import assert from "node:assert/strict";
import type { Frame } from "playwright-core";
import { scenario, until, type VSCode } from "./harness.ts";

const question = "What colour is the sky?";

async function ask(page: Frame, prompt: string): Promise<void> {
  await page.locator("#prompt textarea").fill(prompt);
  await page.locator("#prompt textarea").press("Enter");
}

/** What the columns say to the last prompt, left to right, once all have ended. */
async function answers(page: Frame): Promise<string[]> {
  await until("all columns have answered", async () => page.locator("#stop").isHidden());
  const shown = page.locator(".exchange").last().locator(".plain:visible, .tokens:visible");
  return (await shown.allInnerTexts()).map((text) => text.replace(/\s+/g, " ").trim());
}

async function setTemperature(page: Frame, value: string): Promise<void> {
  await page.locator("#open-sampling").click();
  await page.locator("#sampling-temperature").fill(value);
  await page.locator("#sampling-temperature").press("Tab");
}

async function activate(vscode: VSCode, name: string): Promise<void> {
  const isActive = async (): Promise<boolean> => (await vscode.statusBarText()).includes(name);
  await until(`${name} is active`, async () => {
    await vscode.clickRow("Adapters", name);
    return until("the status bar says so", isActive, 8);
  });
}

scenario("three columns answer one prompt side by side", {}, async (vscode) => {
  await vscode.openGraft();
  for (const name of ["lora-json", "lora-pirate"]) await activate(vscode, name);
  await vscode.runCommand("Graft: Open Playground");
  const page = await vscode.webviewFrame("#prompt");
  await page.locator("#start-compare").click();
  await until("three columns", async () => (await page.locator(".head").count()) === 3);
  await setTemperature(page, "0");
  await page.locator("#open-sampling").click();
  await ask(page, question);
  const [base, pirate, json] = await answers(page);
  assert.equal(base, "The sky is blue.");
  assert.match(pirate ?? "", /≠.*Arr! Th' sky be blue, matey!/);
  assert.match(json ?? "", /≠.*"answer": "blue"/);
  assert.equal(await page.locator(".turn-verdict.differs:visible").count(), 2);
  await vscode.screenshots("80 compare");

  // Tokens: by pointer and by keyboard.
  await page.locator("#show-tokens").click();
  const tokens = page.locator(".cells .answer").nth(1).locator(".token");
  await tokens.nth(2).hover();
  await page.locator(".token-card .card-row").first().waitFor();
  assert.match(await page.locator(".token-card .card-head").innerText(), /%/);
  assert.equal(await page.locator(".token-card .card-row").count(), 5);
  await tokens.first().focus();
  const first = await page.locator(".token-card").innerText();
  await tokens.first().press("ArrowRight");
  await until(
    "the next token is told",
    async () => (await page.locator(".token-card").innerText()) !== first,
  );
  await vscode.screenshots("81 tokens");
  await page.locator("#show-tokens").click();

  // A weight at zero is the base; a preset brings the weights back.
  await page.locator("#presets").click();
  await page.locator("#preset-name").fill("full strength");
  await page.locator("#save-preset").click();
  await page
    .getByRole("button", { name: /full strength/ })
    .first()
    .waitFor();
  await page.locator("#preset-name").press("Escape");
  await page.locator("#weight-c1-lora-pirate").press("Home");
  await page.locator(".rerun-turn").last().click();
  assert.equal((await answers(page))[1], "The sky is blue.");
  await page.locator("#presets").click();
  await page
    .getByRole("button", { name: /full strength/ })
    .first()
    .click();
  assert.equal(await page.locator("#weight-c1-lora-pirate").inputValue(), "1");

  // Another question in the place of the first.
  await page.locator(".edit-turn").last().click();
  await page.locator("textarea.edit").fill("What does a cow say?");
  await page.locator("textarea.edit").press("Enter");
  assert.match((await answers(page))[1] ?? "", /moo/);
  assert.equal(await page.locator(".exchange").count(), 1);

  // What the template made of it.
  await page.locator(".answer").nth(1).getByRole("button", { name: "Raw prompt" }).click();
  await until("the raw prompt is there", async () =>
    (await page.locator("dialog .raw-text").innerText()).includes("<|user|>What does a cow say?"),
  );
  await page.locator("#raw-tokens").click();
  assert.ok((await page.locator(".raw-tokens li").count()) > 5);
  await page.locator("dialog").press("Escape");
});

scenario("a conversation is kept, found again and taken along", {}, async (vscode) => {
  await vscode.openGraft();
  await activate(vscode, "lora-pirate");
  await vscode.runCommand("Graft: Open Playground");
  const page = await vscode.webviewFrame("#prompt");
  await setTemperature(page, "0");
  await ask(page, question);
  assert.equal((await answers(page))[0], "Arr! Th' sky be blue, matey!");

  // JSON by a schema, whatever the adapter would rather say.
  await page.locator("#json-mode").check();
  await page.locator("#json-schema").fill("{");
  await until("a broken schema is told", async () =>
    (await page.locator("#schema-problem").innerText()).includes("not JSON"),
  );
  const schema = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };
  await page
    .locator("#json-schema")
    .fill(JSON.stringify({ ...schema, additionalProperties: false }));
  await ask(page, "What is 3 plus 4?");
  const said: unknown = JSON.parse((await answers(page))[0] ?? "");
  assert.ok(Number.isInteger((said as { n: number }).n), JSON.stringify(said));
  await vscode.screenshot("82 playground json");
  await page.locator("#json-mode").uncheck();
  await page.locator("#open-sampling").click();

  await page.locator("#clear").click();
  assert.equal(await page.locator(".exchange").count(), 0);
  await vscode.reload();
  const again = await vscode.webviewFrame("#prompt");
  await again.locator("#history").click();
  await again.locator("#history-search").fill("sky blue");
  await again.locator(".shelf-item", { hasText: question }).click();
  await again.locator(".answer", { hasText: "Arr! Th' sky be blue, matey!" }).first().waitFor();
  await again.locator("#copy-as").click();
  await vscode.screenshot("83 playground copy");
  await again.locator("#copy-promptDocument").click();
  await until("the prompt file opens", async () => {
    const lines = await vscode.page.locator(".editor-instance .view-line").allInnerTexts();
    const text = lines.join("\n").replaceAll("\u00a0", " ");
    return (
      text.includes("model: graft-sample") && text.includes("content: What colour is the sky?")
    );
  });
  await vscode.screenshot("84 prompt file");
});
