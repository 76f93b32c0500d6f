import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scenario, until, type VSCode } from "./harness.ts";

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
  {},
  async (vscode) => {
    await vscode.openFile("sky.prompt.yml");
    await lens(vscode, "Compare all").first().waitFor();
    await until(
      "one line of links is above the file",
      async () => (await lens(vscode, "Run with base").count()) === 1,
    );
    await vscode.screenshots("80 prompt file");
    await lens(vscode, "Compare all").first().click();
    await until("rows say how they went", async () => {
      const texts = await lens(vscode, "passed").allInnerTexts();
      const all = await vscode.page.locator(".codelens-decoration").allInnerTexts();
      if (texts.filter((text) => text.includes("2 of 2 passed")).length === 2) return true;
      throw new Error(`Lenses: ${all.join(" | ")}`);
    });
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
    await until("all ran", async () => (await summary(vscode)).includes("5/6"));
    await vscode.screenshots("82 test explorer");

    await vscode.runCommand("Test: Peek Output");
    await vscode.screenshots("83 test difference");
    await vscode.runCommand("Test: Rerun Failed Tests");
    await until("the one that failed ran", async () => (await summary(vscode)).includes("0/1"));

    await runOnSave(vscode);

    await vscode.reload();
    await openTesting(vscode);
    await until("results are there after a reload", failed);
    // Lenses exist where they can be seen.
    await vscode.focusEditor();
    await vscode.selectLine(24);
    await until(
      "lenses know it, too",
      async () => (await lens(vscode, "1 of 2 passed").count()) === 1,
    );
    assert.deepEqual(vscode.enginePids(), [], "no engine was started for it");
    await vscode.screenshot("84 results after reload");

    await vscode.focusEditor();
    await vscode.page.keyboard.press("Control+End");
    await vscode.page.keyboard.type("resp");
    const offered = vscode.page.locator(".suggest-widget .monaco-list-row", {
      hasText: "responseFormat",
    });
    await offered.first().waitFor();
    await vscode.screenshots("88 prompt keys offered");
  },
);

/** How many tests passed in the last run, as the Testing view says it: "5/6". */
async function summary(vscode: VSCode): Promise<string> {
  return (await vscode.page.locator(".test-explorer .result-summary").innerText()).trim();
}

/** A continuous run goes on with each save until it is stopped. */
async function runOnSave(vscode: VSCode): Promise<void> {
  await vscode.runCommand("Test: Start Continuous Run");
  await vscode.focusEditor();
  await vscode.page.keyboard.press("Control+End");
  await vscode.page.keyboard.type("# seen\n");
  await vscode.page.keyboard.press("Control+S");
  await until("all ran on save", async () => (await summary(vscode)).includes("5/6"));
  await vscode.runCommand("Test: Stop Continuous Run");
}

const questions =
  "question,topic\nWhat colour is the sky?,blue\nWhat does a cow say?,moo\nHello!,hello\n";
const bulkWorkspace = {
  "questions.csv": questions,
  "ask.prompt.yml": 'messages:\n  - role: user\n    content: "{{question}}"\n',
  "story.txt":
    "The sky is blue. A cow says moo. 3 plus 4 is 7. Arr! Th' sky be blue, matey! ".repeat(12),
};

/** Exports the results of the bulk run under the suggested name, and reads them. */
async function exportAs(vscode: VSCode, format: string, name: string): Promise<string> {
  await vscode.runAndPick("Graft: Export Bulk Results…", "questions.results.jsonl", format);
  const input = vscode.quickInput().locator("input.input");
  await until("the name is suggested", async () => (await input.inputValue()).endsWith(name));
  const path = join(vscode.folders.workspace, name);
  return until(`${name} is written`, async () => {
    if (!existsSync(path)) await input.press("Enter", { timeout: 1000 });
    // A file that is just being written is there, but empty.
    return existsSync(path) && (readFileSync(path, "utf8") || undefined);
  });
}

scenario(
  "a bulk run is written, shown, gone on with and exported; a text is measured",
  { workspace: bulkWorkspace, look: "light" },
  async (vscode) => {
    await vscode.openGraft();
    await vscode.activate("Adapters", "lora-pirate");
    await vscode.openFile("questions.csv");
    await vscode.runCommand("Graft: Bulk Run…");
    await vscode.pick("ask.prompt.yml");
    await until("models are offered", async () =>
      (await vscode.picks()).some((row) => row.includes("lora-pirate")),
    );
    await vscode.screenshots("85 bulk models");
    await vscode.quickInput().locator(".monaco-button", { hasText: "OK" }).click();
    await vscode.notification(/6 answers are in questions\.results\.jsonl/);
    const page = await vscode.webviewFrame("table");
    // A preview is drawn anew while it is looked at.
    await until("a row a question", async () => (await page.locator("tbody tr").count()) === 3);
    await page.locator("table", { hasText: "Arr! Th' sky be blue, matey!" }).waitFor();
    await vscode.screenshots("86 bulk results");
    const results = join(vscode.folders.workspace, "questions.results.jsonl");
    const lines = await until("all answers are in the file", () => {
      const all = readFileSync(results, "utf8").trimEnd().split("\n");
      return all.length === 6 && all;
    });

    // As if it had been stopped after four.
    writeFileSync(results, `${lines.slice(0, 4).join("\n")}\n`);
    await vscode.runCommand("View: Close All Editors");
    await vscode.openFile("questions.csv");
    await vscode.runCommand("Graft: Bulk Run…");
    await vscode.pick("ask.prompt.yml");
    await vscode.quickInput().locator(".monaco-button", { hasText: "OK" }).click();
    await vscode.pick("4 of 6 are done");
    await until("the rest is there", () => {
      const now = readFileSync(results, "utf8").trimEnd().split("\n");
      return now.length === 6 && now.slice(0, 4).join() === lines.slice(0, 4).join();
    });
    const table = await exportAs(vscode, "Markdown table", "questions.md");
    assert.match(table, /\| question \| topic \| base \| lora-pirate \|/);
    const csv = (await exportAs(vscode, "CSV", "questions.answers.csv")).split(/\r?\n/);
    assert.equal(csv[0], "question,topic,base,lora-pirate");
    assert.match(
      csv[1] ?? "",
      /^What colour is the sky\?,blue,The sky is blue\.,.*Th' sky be blue/,
    );
    assert.equal(csv.filter(Boolean).length, 4);
    const jsonl = (await exportAs(vscode, "JSONL: a line", "questions.answers.jsonl"))
      .trimEnd()
      .split("\n");
    assert.equal(jsonl.length, 3);
    assert.match(jsonl[0] ?? "", /"question":"What colour is the sky\?".*The sky is blue\./);

    await vscode.runCommand("View: Close All Editors");
    await vscode.openFile("story.txt");
    await vscode.runCommand("Graft: Measure Perplexity…");
    await vscode.quickInput().locator(".monaco-button", { hasText: "OK" }).click();
    const report = await vscode.webviewFrame("h1:has-text('Perplexity of story.txt')");
    const cells = await report.locator("table").first().innerText();
    assert.match(cells, /base\s+\d+\.\d{4}[\s\S]*lora-pirate\s+\d+\.\d{4}\s+[+-]\d/);
    await vscode.screenshots("87 perplexity");
  },
);
