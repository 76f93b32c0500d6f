import assert from "node:assert/strict";
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root, scenario, until, type VSCode } from "./harness.ts";

const adapters = "Adapters";
const pirate = join(root, "media/sample/adapters/lora-pirate");

async function groups(vscode: VSCode): Promise<string[]> {
  return vscode.treeRows(adapters);
}

scenario("adapters are arranged, filtered, dragged, and followed on disk", {}, async (vscode) => {
  await vscode.openGraft();
  await until("adapters are listed", async () => (await groups(vscode)).length >= 6);

  await vscode.runCommand("Graft: Group Adapters By…");
  await vscode.pick("Method");
  await until("they are grouped by method", async () => (await groups(vscode)).includes("IA³"));
  await vscode.runCommand("Graft: Sort Adapters By…");
  await vscode.pick("Size");
  await vscode.view(adapters).getByText("by method · largest first").waitFor();
  await vscode.screenshot("50 explorer by method");
  await vscode.runCommand("Graft: Group Adapters By…");
  await vscode.pick("Base Model");

  await vscode.runCommand("Graft: Filter Adapters…");
  await vscode.quickInput().locator("input.input").fill("json");
  await until("others are left out", async () => (await groups(vscode)).length === 2);
  await vscode.screenshot("51 explorer filter");
  await vscode.page.keyboard.press("Enter");
  await vscode.view(adapters).getByText("1 of 5 adapters match “json”.").waitFor();
  await vscode.runCommand("Graft: Clear Adapter Filter");
  await until("all are back", async () => (await groups(vscode)).length >= 6);

  // The line above the rows goes after them, and moves them up.
  await vscode.view(adapters).getByText("match “json”").waitFor({ state: "hidden" });

  const base = vscode.treeRow("Base Models", "graft-sample");
  const first = vscode.treeRow(adapters, "lora-pirate");
  await vscode.drag(first, base);
  await vscode.screenshot("52 explorer drag onto base");
  await vscode.drop();
  await until("the base and what was dropped are loaded", async () =>
    (await vscode.statusBarText()).includes("graft-sample + lora-pirate"),
  );
  const others = ["lora-json", "ia3-butler"].map((name) => vscode.treeRow(adapters, name));
  for (const row of others) await row.click({ modifiers: ["ControlOrMeta"] });
  await vscode.drag(vscode.treeRow(adapters, "lora-json"), first);
  await vscode.screenshot("52 explorer drag two onto one");
  await vscode.drop();
  await until("all three answer", async () =>
    /×0\.33.*×0\.33.*×0\.33/.test(await vscode.statusBarText()),
  );

  // The same from the keyboard.
  await vscode.runCommand("Graft: Load Adapters onto Base…");
  await vscode.pick("graft-sample");
  await vscode.pick("dora-shout");
  await vscode.quickInput().locator(".quick-input-action .monaco-button").first().click();
  await vscode.treeRow(adapters, "dora-shout").filter({ hasText: "loaded" }).waitFor();
  // What is mixed already is ticked: two of the three are left.
  await vscode.runCommand("Graft: Mix Adapters…");
  await vscode.pick("lora-json");
  await vscode.quickInput().locator(".quick-input-action .monaco-button").first().click();
  await vscode.answer("0.5, 0.5");
  await until("two answer", async () => /×0\.5.*×0\.5/.test(await vscode.statusBarText()));
  await until("a row's tooltip is shown", async () => {
    // Only coming anew shows a tooltip.
    await vscode.page.mouse.move(5, 5);
    await vscode.treeRow(adapters, "lora-pirate").hover();
    await vscode.page.locator(".monaco-hover:visible").first().waitFor({ timeout: 4000 });
    return true;
  });
  await vscode.screenshots("52 explorer mixed");

  // One that is dropped onto the base answers alone from then on, whatever answered before.
  await vscode.page.mouse.move(5, 5);
  await vscode.drag(vscode.treeRow(adapters, "dora-shout"), base);
  await vscode.drop();
  await until("what was dropped answers alone", async () =>
    /graft-sample \+ dora-shout(?! ×)/.test(await vscode.statusBarText()),
  );

  // A folder that comes and goes on disk, with nobody asking.
  const folder = join(vscode.folders.workspace, "runs/first-run");
  mkdirSync(join(vscode.folders.workspace, "runs"), { recursive: true });
  cpSync(pirate, folder, { recursive: true });
  await vscode.treeRow(adapters, "first-run").waitFor();
  rmSync(join(vscode.folders.workspace, "runs"), { recursive: true });
  await vscode.treeRow(adapters, "first-run").waitFor({ state: "detached" });

  await vscode.page.locator("#graft\\.graft\\.graft, [id='graft.graft.graft']").first().hover();
  await vscode.page.locator(".monaco-hover", { hasText: "modules bound" }).first().waitFor();
  await vscode.screenshots("53 status tooltip");

  await vscode.runCommand("Graft: Report Issue…");
  await vscode.notification(/Nothing was sent/);
  const report = vscode.page.locator(".monaco-editor .view-lines").last();
  await until("versions are there", async () => (await report.innerText()).includes("Graft"));
  assert(!(await report.innerText()).includes("lora-pirate"));
  await vscode.screenshot("54 report issue");
});

scenario(
  "the file explorer, links and the walkthrough lead to adapters",
  {
    look: "light",
    // With the base beside them: an adapter is loaded onto its own.
    workspace: join(root, "media/sample"),
  },
  async (vscode) => {
    await vscode.openGraft();
    await until("adapters are listed", async () => (await groups(vscode)).length >= 6);
    await vscode.page.keyboard.press("Control+Shift+E");
    const rows = vscode.page.locator(".explorer-folders-view .monaco-list-row");
    await rows.filter({ hasText: "adapters" }).click();
    const folder = rows.filter({ hasText: "lora-json" });
    await folder.click({ button: "right" });
    const menu = vscode.page.locator(".monaco-menu .action-item", { hasText: "Graft" });
    await menu.last().click();
    await vscode.screenshot("55 file explorer light");
    await vscode.page
      .locator(".monaco-menu .action-item", { hasText: "Load Adapter" })
      .last()
      .click();
    await until("it is loaded", async () => (await vscode.statusBarText()).includes("lora-json"));

    await vscode.runCommand("Graft: Open Link…");
    await vscode.answer("vscode://graft.graft/adapter?path=//server/share");
    await vscode.notification(/not followed.*another machine/);
    await vscode.runCommand("Graft: Open Link…");
    const place = encodeURIComponent(join(vscode.folders.workspace, "adapters/lora-pirate"));
    await vscode.answer(`vscode://graft.graft/adapter?path=${place}`);
    await vscode.page.locator(".tab", { hasText: "lora-pirate" }).waitFor();
    await vscode.runCommand("Graft: Open Link…");
    await vscode.answer("vscode://graft.graft/adapter?id=owner/name");
    const dialog = vscode.page.locator(".monaco-dialog-box", { hasText: "owner/name" });
    await dialog.waitFor();
    await vscode.screenshot("56 link asks");
    await vscode.page.keyboard.press("Escape");

    await vscode.runCommand("Graft: Get Started");
    await vscode.page.getByText("Load an adapter").first().waitFor();
    await vscode.screenshot("57 walkthrough light");
  },
);
