import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Locator } from "playwright-core";
import { root, scenario, until, type VSCode } from "./harness.ts";

const file = "adapters/lora-pirate/adapter_config.json";

/** The sample's base and one adapter, whose config has a typing error, a wrong rank and a strange key. */
function brokenAdapter(): string {
  const folder = mkdtempSync(join(tmpdir(), "graft-config-"));
  for (const part of ["base", "adapters/lora-pirate"]) {
    cpSync(join(root, "media/sample", part), join(folder, part), { recursive: true });
  }
  const config = JSON.parse(readFileSync(join(folder, file), "utf8")) as Record<string, unknown>;
  const broken = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: "../../base",
    r: 16,
    lora_alpha: 16,
    target_modules: [
      "q_porj",
      ...(config["target_modules"] as string[]).filter((n) => n !== "q_proj"),
    ],
    rank_pattern: {},
    lora_dropuot: 0,
    inference_mode: true,
  };
  writeFileSync(join(folder, file), `${JSON.stringify(broken, null, 2)}\n`);
  return folder;
}

function token(vscode: VSCode, text: string): Locator {
  return vscode.page.locator(".editor-instance .view-line span span", { hasText: text }).first();
}

/** The text of the file as the editor has it, saved. */
async function saved(vscode: VSCode): Promise<string> {
  await vscode.page.keyboard.press("Control+S");
  await vscode.page.locator(".tab.active.dirty").waitFor({ state: "detached" });
  // While it is written it is empty for a moment.
  return until("the file is whole", () => {
    const text = readFileSync(join(vscode.folders.workspace, file), "utf8");
    return text.trimEnd().endsWith("}") && text;
  });
}

/** Opens the quick fixes of a place and takes one. */
async function fix(vscode: VSCode, on: string, title: string): Promise<void> {
  const row = vscode.page.locator(".action-widget .monaco-list-row", { hasText: title }).first();
  await until(`"${title}" is offered`, async () => {
    await vscode.page.keyboard.press("Escape");
    // Forced: the cursor of a try before lies over the word, which a click would wait for.
    await token(vscode, on).click({ force: true });
    await vscode.page.keyboard.press("Control+.");
    await row.waitFor({ timeout: 8000 });
    return true;
  });
  await vscode.screenshot(`81 config fixes ${on}`);
  await row.click();
  await row.waitFor({ state: "hidden" });
}

scenario(
  "adapter_config.json is checked against its base, explained, completed and mended",
  { workspace: brokenAdapter(), look: "light" },
  async (vscode) => {
    assert.equal(vscode.enginePids().length, 0, "nothing has been started yet");
    await vscode.openFile("adapter_config.json");
    const { page } = vscode;
    await page.locator(".codelens-decoration", { hasText: "Open Inspector" }).waitFor();
    await until("the typing error and the rank are underlined", async () => {
      return (
        (await page
          .locator(".editor-instance .squiggly-error, .editor-instance .squiggly-warning")
          .count()) >= 2
      );
    });
    await vscode.runCommand("Problems: Focus on Problems View");
    const problems = page.locator(".markers-panel");
    const said = await until("the problems are told", async () => {
      const text = await problems.innerText();
      return /28 modules|24 of 28|rank 8/.test(text) && text;
    });
    assert.match(said, /"q_porj" matches no module of (graft-sample|base).*Did you mean q_proj\?/);
    assert.match(said, /r says rank 16, the tensors of \d+ of 28 modules have rank 8/);
    assert.match(said, /does not know lora_dropuot: did you mean lora_dropout\?/);
    await vscode.screenshots("80 config problems");
    await page.keyboard.press("Control+J");
    await problems.waitFor({ state: "hidden" });

    await until("a hover tells what a target means", async () => {
      await page.mouse.move(5, 5);
      await token(vscode, "v_proj").hover();
      const hover = page.locator(".monaco-hover:visible").filter({ hasText: "4 modules" });
      await hover.first().waitFor({ timeout: 4000 });
      return true;
    });
    await vscode.screenshots("82 config hover");

    await fix(vscode, "q_porj", "Replace by q_proj");
    await fix(vscode, "16", "Set r to 8, as the tensors have it");
    await fix(vscode, "lora_dropuot", "Rename to lora_dropout");
    // A fix is an edit that the editor makes in its own time.
    const mended = await until("the fixes are saved", async () => {
      const config = JSON.parse(await saved(vscode)) as Record<string, unknown>;
      return "lora_dropout" in config && config;
    });
    assert.equal(mended["r"], 8);
    assert.equal(mended["lora_dropout"], 0);
    assert.equal((mended["target_modules"] as string[])[0], "q_proj");
    await until("nothing is underlined any more", async () => {
      return (await page.locator(".editor-instance [class*=squiggly-]").count()) === 0;
    });

    // A name is completed from the base's modules.
    await token(vscode, "rank_pattern").click();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Control+Space");
    const suggestions = page.locator(".suggest-widget.visible");
    await suggestions.locator(".monaco-list-row", { hasText: "down_proj" }).first().waitFor();
    await vscode.screenshots("83 config completion");
    await page.keyboard.press("Escape");
    assert.equal(vscode.enginePids().length, 1);
  },
);
