import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { openSafetensors, readTensors } from "../../../extension/core/safetensors/read.ts";
import { writeSafetensors } from "../../../extension/core/safetensors/write.ts";
import { makeFactors, tinyLlama, writeLora } from "./peft/tinyLlama.ts";
import { failure, temporaryFolder } from "./support.ts";

const base = await loadBaseModel(tinyLlama);
after(() => base.session.dispose());

const [first, second] = [0, 1].map((layer) => `model.layers.${layer}.self_attn.q_proj`);
const factors = makeFactors({ [first as string]: 2, [second as string]: 2 });
const pre = "base_model.model.";

interface Case {
  what: string;
  rename?: (name: string) => string | null;
  config?: object;
  says: string[];
  code?: "misfit" | "partial-bind" | "bad-file";
}

const cases: Case[] = [
  {
    what: "PEFT's prefix is missing",
    rename: (name) => name.slice(pre.length),
    says: ["0 of", 'lack PEFT\'s "base_model.model."', 'keyMapping {"^": "base_model.model."}'],
  },
  {
    what: "PEFT's prefix is twice there",
    rename: (name) => pre + name,
    says: ["is twice in the names"],
  },
  {
    what: "the text model of a larger one",
    rename: (name) => name.replace("model.layers", "model.language_model.layers"),
    says: ['under "model.language_model."', "other versions of transformers", "keyMapping"],
  },
  {
    what: "a compiled model",
    rename: (name) => name.replace(pre, `${pre}_orig_mod.`),
    says: ['under "_orig_mod."', 'modules under ""'],
  },
  {
    what: "an adapter name that was left",
    rename: (name) => name.replace(".weight", ".foo.weight"),
    says: ['the adapter name "foo" is left', 'load it as "foo"'],
  },
  {
    what: "a deeper base",
    rename: (name) => name.replace("layers.1.", "layers.7."),
    says: ["1 of 3 modules bound", "more layers: this one has 2", "layers.7"],
    code: "partial-bind",
  },
  {
    what: "a base with fewer layers",
    rename: (name) => (name.includes("layers.1.") ? null : name),
    says: ["1 of 2 modules bound", second as string, "made for a base with 1 layers"],
    code: "partial-bind",
  },
  {
    what: "half of a module",
    rename: (name) => (name.includes("layers.1.") && name.includes("lora_A") ? null : name),
    says: ["1 of 2 modules bound", "some of their tensors and not all"],
    code: "partial-bind",
  },
  {
    what: "another method",
    config: { peft_type: "IA3", feedforward_modules: [] },
    says: ["tensors of LoRA", "the config says IA³"],
  },
  {
    what: "another family",
    rename: (name) =>
      name.replace(/model\.layers\.(\d)\.self_attn\.q_proj/, "transformer.h.$1.c_attn"),
    says: ["another model family"],
  },
  {
    what: "kohya's names",
    rename: (name) => name.replace("lora_A", "lora_down").replace("lora_B", "lora_up"),
    says: ["kohya"],
  },
  {
    what: "names of experts before transformers 5",
    rename: (name) => name.replace("self_attn.q_proj", "block_sparse_moe.experts.0.w1"),
    says: ['older versions of transformers call modules "block_sparse_moe"'],
  },
  {
    what: "another config",
    config: { target_modules: [first] },
    says: ["the config does not choose modules"],
    code: "partial-bind",
  },
  {
    what: "DoRA without magnitudes",
    config: { use_dora: true },
    says: ["the config says use_dora, and its tensors are missing"],
  },
  { what: "no tensor at all", rename: () => null, says: ["the file holds no tensor"] },
];

for (const { what, rename = (name: string) => name, config = {}, says, code = "misfit" } of cases) {
  test(`the likely reason is told: ${what}`, async (t) => {
    const folder = await writeLora(await temporaryFolder(t), factors, {
      target_modules: [first, second],
      ...config,
    });
    const file = path.join(folder, "adapter_model.safetensors");
    const { tensors } = await openSafetensors(file);
    const bytes = await readTensors(file, tensors);
    const renamed = tensors.flatMap(({ dtype, shape, name }, i) => {
      const own = rename(name);
      return own === null ? [] : [{ name: own, dtype, shape, bytes: bytes[i] as Uint8Array }];
    });
    await writeSafetensors(file, renamed);
    const model = new PeftModel(base);
    await assert.rejects(model.loadAdapter(folder), failure(code, folder, ...says));
  });
}
