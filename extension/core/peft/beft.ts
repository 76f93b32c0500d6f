/**
 * BEFT, bias-efficient fine-tuning (PEFT tuners/beft): a trained vector is added to the output of a
 * linear layer, whether that has a bias or not: a shift. Merging needs a bias to merge into.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import type { DefaultTargets } from "./defaultTargets.ts";
import { tunerFields } from "./tuner/config.ts";
import { tunerMethod } from "./tuner/tuner.ts";

const beftSchema = z.looseObject(tunerFields);

const valueProjection = ["v_proj"];

/** PEFT 0.21, utils/constants.py. */
const targets: Readonly<Record<string, readonly string[]>> = {
  t5: ["v"],
  mt5: ["v"],
  roberta: ["value"],
  opt: valueProjection,
  gptj: valueProjection,
  gpt_neo: valueProjection,
  bart: valueProjection,
  llama: valueProjection,
  llama4: valueProjection,
  mistral: valueProjection,
  mixtral: valueProjection,
  bert: ["value"],
  "deberta-v2": ["value_proj"],
  phi: valueProjection,
  gemma: valueProjection,
  gemma2: valueProjection,
  gemma3_text: valueProjection,
  qwen2: valueProjection,
  qwen3: valueProjection,
};

export const beft = tunerMethod<z.infer<typeof beftSchema>>({
  peftType: "BEFT",
  schema: beftSchema,
  fields: { init_weights: { default: true, meaning: t("Whether training began at the base.") } },
  defaultTargets: (modelType): DefaultTargets => targets[modelType] ?? null,
  suffixes: ["beft_bias"],
  kinds: ["linear"],
  rank: () => null,
  shapes: (module) => ({ beft_bias: [1, module.out] }),
  linear: (_module, tensors) => ({ shift: tensors.values("beft_bias") }),
});
