import assert from "node:assert/strict";
import type { Locator } from "playwright-core";
import { scenario, until, type VSCode } from "./harness.ts";

/** The thread that holds a text; several can be open in one editor. */
function threadWith(vscode: VSCode, text: string): Locator {
  return vscode.page.locator(".zone-widget .review-widget").filter({ hasText: text });
}

async function textsOf(thread: Locator): Promise<string> {
  return (await thread.locator(".comment-body").allInnerTexts()).join(" | ").replace(/\s+/g, " ");
}

async function hasText(thread: Locator, text: string): Promise<void> {
  await until(`the thread says "${text}"`, async () => (await textsOf(thread)).includes(text));
}

async function editorText(vscode: VSCode): Promise<string> {
  const lines = vscode.page.locator(".editor-instance .view-line");
  // They stand in the page in the order in which they were drawn.
  const drawn = await lines.evaluateAll((all) =>
    all.map((line) => ({ top: line.offsetTop, text: line.textContent })),
  );
  const sorted = drawn.toSorted((a, b) => a.top - b.top);
  return sorted.map(({ text }) => text.replaceAll("\u00a0", " ")).join("\n");
}

/** Clicks an adapter until it is active: a row that is drawn anew just then misses the click. */
async function activate(vscode: VSCode, name: string): Promise<void> {
  const isActive = async (): Promise<boolean> => (await vscode.statusBarText()).includes(name);
  await until(`${name} is active`, async () => {
    await vscode.clickRow("Adapters", name);
    return until("the status bar says so", isActive, 8);
  });
}

async function askLine(vscode: VSCode, line: number, command: string): Promise<void> {
  await vscode.selectLine(line);
  await vscode.runCommand(command);
}

scenario("threads compare, replace and stand side by side", {}, async (vscode) => {
  const { page } = vscode;
  await vscode.openGraft();
  for (const name of ["lora-json", "lora-pirate"]) await activate(vscode, name);
  await vscode.openFile("prompts.md");
  await askLine(vscode, 3, "Graft: Run Selection as Prompt");
  const sky = threadWith(vscode, "What colour is the sky?");
  await hasText(sky, "Th' sky be blue");
  const compare = sky.locator('.action-label[aria-label^="Compare"]').first();
  await compare.click();
  await hasText(sky, '"answer": "blue"');
  await hasText(sky, "The sky is blue.");
  assert.equal(((await textsOf(sky)).match(/Th' sky be blue/g) ?? []).length, 1);
  await vscode.screenshot("70 inline compare");

  // A second thread streams on its own; the first one stays as it is.
  await askLine(vscode, 4, "Graft: Run Selection as Prompt");
  const cow = threadWith(vscode, "What does a cow say?");
  await hasText(cow, "moo");
  await hasText(sky, "The sky is blue.");
  await vscode.screenshots("71 inline two threads");

  // The first answer goes below what was asked, and the selection stays what it was.
  const blue = sky.locator(".review-comment").filter({ hasText: "The sky is blue." }).last();
  await blue.hover();
  await blue.locator('.action-label[aria-label^="Insert Below"]').click();
  await until("the answer stands below its question", async () =>
    (await editorText(vscode)).includes(
      "What colour is the sky?\nThe sky is blue.\nWhat does a cow say?",
    ),
  );

  await vscode.screenshot("71 inline inserted below");

  // The document changes above it meanwhile: what was selected is replaced all the same.
  await page.keyboard.press("Control+Home");
  await page.keyboard.type("A new first line\n");
  const answer = cow.locator(".review-comment").filter({ hasText: "moo" }).last();
  await answer.hover();
  await answer.locator('.action-label[aria-label^="Replace"]').click();
  await until("the answer stands in the document", async () =>
    (await editorText(vscode)).includes("moo"),
  );
  const replaced = await editorText(vscode);
  assert.ok(!replaced.includes("What does a cow say?"), replaced);
  assert.ok(replaced.includes("What colour is the sky?"), replaced);
  await vscode.focusEditor();
  await page.keyboard.press("Control+Z");
  await until("undo takes it back", async () =>
    (await editorText(vscode)).includes("What does a cow say?"),
  );

  // A question is edited and asked anew.
  const question = cow.locator(".review-comment").first();
  await question.hover();
  await question.locator('.action-label[aria-label^="Edit Question"]').click();
  await question.locator(".edit-textarea .view-lines, .edit-container .view-lines").click();
  await page.keyboard.press("Control+A");
  await page.keyboard.type("Where does a bee live?");
  await question.getByRole("button", { name: "Ask Again" }).click();
  const bee = threadWith(vscode, "Where does a bee live?");
  await until("it is answered anew", async () => {
    const texts = await textsOf(bee);
    return !texts.includes("moo") && /hive/i.test(texts);
  });
  await vscode.runCommand("Comments: Focus on Comments View");
  await page.locator(".comments-panel", { hasText: "What colour is the sky?" }).waitFor();
  await vscode.screenshot("72 inline comments view");
});
