import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Frame } from "playwright-core";
import { accessibilityFindings } from "./axe.ts";
import { scenario, until, type VSCode } from "./harness.ts";

const adapters = "Adapters";

/** The page of one adapter, once its numbers are there. */
async function openInspector(vscode: VSCode, name: string): Promise<Frame> {
  await until("the inspector opens", async () => {
    await vscode.page.keyboard.press("Escape");
    await vscode.rowAction(adapters, name, "Open Inspector");
    await vscode.page.locator(".tab", { hasText: name }).waitFor({ timeout: 5000 });
    return true;
  });
  const page = await vscode.webviewFrame("#modules");
  await page.locator("#metric-norm:not([disabled])").waitFor();
  return page;
}

async function assertAccessible(page: Frame, what: string): Promise<void> {
  assert.deepEqual(await accessibilityFindings(page), [], what);
}

scenario("an adapter is seen from all sides", {}, async (vscode) => {
  await vscode.openGraft();
  await until("adapters are listed", async () => (await vscode.treeRows(adapters)).length >= 5);
  await vscode.activate(adapters, "lora-pirate");
  const page = await openInspector(vscode, "lora-pirate");
  assert.match(
    await page.locator("#words").innerText(),
    /LoRA adapter, trained on .* to write text.*rank 8.*α 16 ÷ r 8.*moves the weights/s,
  );

  await until("modules are bound", async () =>
    /28 of 28 modules bound · 91,136 parameters/.test(await page.locator("header").innerText()),
  );

  await page.locator("#metric-norm").click();
  const cell = page.locator("#modules-0-0");
  assert.match((await cell.getAttribute("aria-label")) ?? "", /^layer 0, q: r 8 .*‖ΔW‖ [\d.]+/);
  await page.locator("#metric-parameters").click();
  await cell.focus();
  for (const key of ["ArrowRight", "ArrowDown", "Enter"]) await vscode.page.keyboard.press(key);
  await page.locator("#spectrum-title", { hasText: "layers.1.self_attn.k_proj" }).waitFor();
  assert.equal(await page.locator("#modules-1-1").getAttribute("aria-selected"), "true");
  const chart = page.locator("#spectrum-figure svg[role=img]");
  assert.match((await chart.getAttribute("aria-label")) ?? "", /effective rank [\d.]+ of 8/);
  await page.locator("#spectrum-figure-view-table").click();
  assert.equal(await page.locator("#spectrum-figure tbody tr").count(), 8);

  await page.locator("#find-intruders").click();
  await page.locator("#metric-intruders:not([disabled])").waitFor({ timeout: 60_000 });
  assert.equal(await page.locator("#find-intruders").count(), 0, "they were found");
  assert.ok(await page.locator("#metric-intruders").isEnabled(), "they can be seen by module");
  // What it offers to do about them asks where to, and nothing more.
  await page.locator("#reduce-intruders").click();
  await vscode.quickInput().getByText("lora-pirate-reduced").first().waitFor();
  await vscode.page.keyboard.press("Escape");
  await page.locator("#activate", { hasText: "Deactivate" }).click();
  await page.locator(".status", { hasText: "Loaded" }).waitFor();
  await page.locator("#activate").click();
  await page.locator(".status.active").waitFor();

  await page.locator("#heat-csv").click();
  const csv = join(vscode.folders.workspace, "numbers.csv");
  await vscode.saveAs(csv);
  await until("the table is written", () => existsSync(csv));
  const [head = "", ...rows] = readFileSync(csv, "utf8").trimEnd().split("\n");
  assert.match(head, /^Module,Rank,.*‖ΔW‖,Relative/);
  assert.equal(rows.length, 28);
  await page.locator("#heat-png").click();
  const png = join(vscode.folders.workspace, "picture.png");
  await vscode.saveAs(png);
  await until("the picture is written", () => existsSync(png));
  assert.equal(readFileSync(png).subarray(1, 4).toString(), "PNG");

  await page.locator("#spectrum-figure-view-picture").click();
  await page.locator("#metric-relative").click();
  await assertAccessible(page, "the inspector in dark");
  await vscode.screenshot("40 inspector dark");
  await vscode.reload();
  const again = await vscode.webviewFrame("#modules");
  await again.locator("#spectrum-title", { hasText: "layers.1.self_attn.k_proj" }).waitFor();
  assert.equal(await again.locator("#metric-relative").getAttribute("aria-checked"), "true");
});

scenario("two adapters are held side by side", {}, async (vscode) => {
  await vscode.openGraft();
  await until("adapters are listed", async () => (await vscode.treeRows(adapters)).length >= 5);
  await vscode.runAndPick("Graft: Compare Adapters…", "lora-pirate", "dora-shout");
  const page = await vscode.webviewFrame("#change-0");
  await page.locator("h1", { hasText: "lora-pirate and dora-shout" }).waitFor();
  assert.match(await page.locator("#words").innerText(), /A is LoRA, B is DoRA|same 28 modules/);
  const fields = await page.locator(".config-table tbody th").allInnerTexts();
  assert(
    fields.some((field) => field.includes("use_dora")),
    fields.join(),
  );
  assert(!fields.some((field) => field.includes("lora_alpha")), "the same in both");
  await page.locator("#merge-words", { hasText: "entries are moved in opposite" }).waitFor();
  await page.locator("#modules-2-2").click();
  await page.locator("#overlap-figure svg[role=img]").waitFor();
  await assertAccessible(page, "the comparison in dark");
  await vscode.screenshot("43 compare dark");
  await page.locator("#swap").click();
  await page.locator("h1", { hasText: "dora-shout and lora-pirate" }).waitFor();
  await vscode.reload();
  const again = await vscode.webviewFrame("#change-0");
  await again.locator("h1", { hasText: "dora-shout and lora-pirate" }).waitFor();
  await again.locator("#mix").click();
  await vscode.answer("0.5, 0.5");
  await until("both are active", async () => {
    const bar = await vscode.statusBarText();
    return bar.includes("lora-pirate") && bar.includes("dora-shout");
  });
});
