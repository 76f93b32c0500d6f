import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { torchGenerator } from "../../../../../extension/core/base/torchRandom.ts";
import { describeBase, loadBaseModel } from "../../../../../extension/core/baseModel.ts";
import { adapterConfigOf } from "../../../../../extension/core/checkpoint/adapterConfig.ts";
import { openCheckpoint } from "../../../../../extension/core/models/openCheckpoint.ts";
import { trainableMethodOf } from "../../../../../extension/core/peft/trainable/index.ts";
import { savedTensors } from "../../../../../extension/core/peft/trainable/savedTensors.ts";
import { PeftModel } from "../../../../../extension/core/peftModel.ts";
import { writeSafetensors } from "../../../../../extension/core/safetensors/write.ts";
import { difference, fixtures, temporaryFolder } from "../../support.ts";
import { trainedLogits } from "./support.ts";

/** Configs by base: what training makes of them runs as it was trained, once saved and loaded. */
const cases: readonly [model: string, fields: Record<string, unknown>][] = [
  ["llama", { target_modules: "all-linear", use_rslora: true, rank_pattern: { up_proj: 2 } }],
  ["llama", { target_modules: ["embed_tokens", "lm_head", "q_proj"], use_dora: true }],
  ["llama", { target_modules: ["v_proj"], init_lora_weights: "pissa", use_dora: true }],
  ["llama", { target_modules: ["v_proj"], init_lora_weights: "olora", modules_to_save: ["norm"] }],
  ["llama", { target_modules: ["q_proj", "down_proj"], kasa_config: {} }],
  ["llama", { target_modules: ["q_proj"], alora_invocation_tokens: [7, 8] }],
  ["llama", { peft_type: "LILY", target_modules: ["q_proj", "down_proj"], stride_A: 2 }],
  ["llama", { peft_type: "FROD", target_modules: ["q_proj"] }],
  ["llama", { peft_type: "UNILORA", target_modules: ["v_proj"], save_indices: true }],
  ["llama", { peft_type: "SUPERTUNING", target_modules: ["up_proj"], lora_alpha: 8 }],
  ["llama-tied", { target_modules: ["q_proj"], trainable_token_indices: [3, 9] }],
  ["llama-tied", { peft_type: "TRAINABLE_TOKENS", token_indices: [3, 9, 5] }],
  ["llama-bias", { target_modules: ["o_proj"], bias: "all", lora_bias: true }],
  ["llama-bias", { peft_type: "ADAMSS", target_modules: ["o_proj", "up_proj"], r: 9 }],
  ["llama", { peft_type: "OSF", target_modules: ["v_proj", "down_proj"], effective_rank: 20 }],
  ["llama", { peft_type: "PSOFT", target_modules: ["v_proj", "down_proj"], psoft_alpha: 3 }],
  ["llama", { peft_type: "PVERA", target_modules: ["v_proj", "up_proj"] }],
  ["llama", { peft_type: "POLY", target_modules: ["v_proj", "up_proj"], n_splits: 2 }],
  ["llama", { peft_type: "TINYLORA", target_modules: ["embed_tokens", "up_proj"], u: 5 }],
  ["gpt2", { target_modules: ["c_attn"], bias: "lora_only", use_dora: true }],
  ["bert-seqcls", { task_type: "SEQ_CLS" }],
];

const ids = [[5, 7, 8, 9, 3, 5, 2, 4]];

for (const [name, fields] of cases) {
  test(`what ${name} was trained to with ${JSON.stringify(fields)} runs the same once saved`, async (t) => {
    const folder = await temporaryFolder(t);
    const model = path.join(fixtures, "models", name);
    const checkpoint = await openCheckpoint(model);
    const base = describeBase(checkpoint);
    const config = adapterConfigOf({ peft_type: "LORA", r: 4, lora_alpha: 6, ...fields });
    const method = trainableMethodOf(config);
    await method.look?.(config, base);
    const adapter = method.prepare(config, base, { isQuiet: true });
    const random = torchGenerator(3);
    const values = new Map(await method.initialize(adapter, base, { random }));
    for (const { name: own, isTrained } of adapter.parameters) {
      const begun = values.get(own) as Float32Array;
      const noise = random.normal(begun.length, 0, 0.05);
      if (isTrained)
        values.set(
          own,
          begun.map((value, i) => value + (noise[i] as number)),
        );
    }
    const batch = { kind: "tokens", ids } as const;
    const trained = await trainedLogits(checkpoint, adapter, { values, batch });
    const tensors = await savedTensors(adapter, values, { base });
    await writeSafetensors(path.join(folder, "adapter_model.safetensors"), tensors);
    await writeFile(path.join(folder, "adapter_config.json"), adapter.config.text);
    const loaded = new PeftModel(await loadBaseModel(model));
    t.after(() => loaded.base.session.dispose());
    const { name: active } = await loaded.loadAdapter(folder);
    const inputs = loaded.inputsOf([{ name: active, weight: 1 }]);
    const { data } = await loaded.base.session.predict(batch, inputs);
    assert(difference(trained, data) < 1e-4, `differs by ${difference(trained, data)}`);
    const bare = await loaded.base.session.predict(batch, loaded.inputsOf([]));
    assert(difference(bare.data, data) > 1e-3, "the adapter changes nothing");
  });
}
