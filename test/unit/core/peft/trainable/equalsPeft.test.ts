import assert from "node:assert/strict";
import { test } from "node:test";
import { differenceFromPeft } from "./support.ts";

/** Adapters that PEFT ran: the form that is trained computes what PEFT computed. */
const cases = [
  "llama/lora_default",
  "llama/lora_all_linear",
  "llama/lora_rslora_pattern",
  "llama/lora_layers_to_transform",
  "llama/lora_exclude_regex",
  "llama/lora_modules_to_save",
  "llama/lora_modules_to_save_norm",
  "llama-bias/lora_bias_all",
];

for (const name of cases) {
  test(`the training form of ${name} equals PEFT`, async () => {
    const difference = await differenceFromPeft(name);
    assert(difference < 1e-4, `differs by ${difference}`);
  });
}
