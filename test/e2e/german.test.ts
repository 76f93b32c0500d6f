import assert from "node:assert/strict";
import { scenario, until } from "./harness.ts";

scenario("the editor in German has Graft in German", { language: "de" }, async (vscode) => {
  await vscode.openGraft("Basismodelle");
  await until("adapters are listed", async () => (await vscode.treeRows("Adapter")).length >= 5);
  await vscode.activate("Adapter", "lora-pirate");
  await vscode.runCommand("Graft: Playground öffnen");
  const page = await vscode.webviewFrame("#prompt");
  assert.match(await page.locator("body").innerText(), /Senden/);
  await vscode.screenshot("33 playground german");
  await vscode.rowAction("Adapter", "lora-pirate", "Inspektor öffnen");
  await vscode.webviewFrame("[role=grid]");
  await vscode.screenshot("34 inspector german");
});
