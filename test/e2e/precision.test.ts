import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { scenario, until } from "./harness.ts";

scenario(
  "a base runs in int4, is kept and cleared, and is exported as ONNX",
  {},
  async (vscode) => {
    await vscode.openGraft();
    await vscode.activate("Adapters", "lora-pirate");

    await vscode.runCommand("Graft: Export as ONNX…");
    await vscode.pick("Merged into the weights");
    await vscode.pick("fp32");
    await vscode.pick("ONNX Runtime GenAI");
    const folder = join(vscode.folders.home, "pirate-onnx");
    await vscode.saveAs(folder);
    await vscode.notification(/exported to .*pirate-onnx.*no logit differs by more than/);
    await vscode.screenshot("70 exported");
    assert.deepEqual(
      ["genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json"].filter(
        (name) => !existsSync(join(folder, name)),
      ),
      [],
    );

    await vscode.runCommand("Graft: Load Base Model With…");
    await vscode.pick("graft-sample");
    const choices = await until("precisions are offered", async () => {
      const all = (await vscode.picks()).join(" | ");
      return all.includes("int4") && all.includes("int8") && all;
    });
    assert.match(choices, /about \d/);
    await vscode.screenshot("71 precisions");
    await vscode.pick("int4");
    await until("the row says what runs", async () =>
      (await vscode.treeRows("Base Models")).some((row) => row.includes("int4")),
    );
    await until("the adapter is on it again", async () =>
      /graft-sample \+ .*lora-pirate/.test(await vscode.statusBarText()),
    );
    await vscode.runCommand("Graft: Run Test Prompt…");
    await vscode.answer("What colour is the sky?");
    await until("it answers", async () =>
      /arr|sky/i.test(
        (await vscode.page.locator(".editor-instance .view-lines").allInnerTexts()).join(""),
      ),
    );
    await vscode.screenshot("72 int4 answer");
    const kept = join(vscode.folders.userData, "User/globalStorage");
    assert.ok(
      readdirSync(kept, { recursive: true }).some((name) => /quantized/.test(String(name))),
    );

    await vscode.runCommand("Graft: Unload Base Model");
    await until("it is unloaded", async () =>
      (await vscode.treeRows("Base Models")).every((row) => !row.includes("int4")),
    );
    await vscode.runCommand("Graft: Clear Quantized Weights…");
    await until("the weights are listed", async () =>
      (await vscode.picks()).some((row) => row.includes("int4")),
    );
    await vscode.screenshot("73 quantized weights");
    await vscode.quickInput().locator(".monaco-button", { hasText: "OK" }).first().click();
    await vscode.notification(/of quantized weights removed/);
  },
);
