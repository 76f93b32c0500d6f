import assert from "node:assert/strict";
import { test } from "node:test";
import { differenceFromPeft } from "./support.ts";

/** Adapters that PEFT ran: the form that is trained computes what PEFT computed. */
const cases = [
  "llama/lora_layer_replication",
  "llama/lora_modules_to_save_norm",
  "llama/lora_embed_tokens",
  "llama/lora_trainable_tokens_dict",
  "llama/lora_target_parameters_embed",
  "llama/lora_mica",
  "llama/dora_embed",
  "llama/alora",
  "llama/bdlora",
  "llama/kasa",
  "llama/pissa_raw",
  "llama/adalora_pruned",
  "llama/adamss",
  "llama/osf",
  "llama/poly",
  "llama/poly_splits",
  "llama/psoft",
  "llama/psoft_neumann",
  "llama/pvera",
  "llama/tinylora",
  "llama/tinylora_no_projection",
  "llama/deft",
  "llama/frod",
  "llama/glora",
  "llama/lily",
  "llama/peanut",
  "llama/supertuning",
  "llama/supertuning_lora",
  "llama/unilora",
  "llama/waveft",
  "llama/waveft_no_idwt",
  "llama/waveft_proportional",
  "llama-bias/dora_all_linear",
  "llama-bias/lora_bias_all",
  "llama-bias/lora_lora_bias",
  "llama-bias/lora_target_parameters_bias_all",
  "llama-tied/lora_modules_to_save",
  "llama-tied/trainable_tokens_tied",
  "bert-seqcls/lora_seqcls_all_linear",
  "gpt2/dora_all_linear",
  "mixtral/lora_v4_experts",
  "t5-plain/dora_feed_forward",
  "vit/dora_conv_patch",
];

for (const name of cases) {
  test(`the training form of ${name} equals PEFT`, async () => {
    const difference = await differenceFromPeft(name);
    assert(difference < 1e-4, `differs by ${difference}`);
  });
}
