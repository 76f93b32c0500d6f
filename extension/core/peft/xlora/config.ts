import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError } from "../../base/errors.ts";
import { parseFields } from "../../base/json.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { FieldInfo } from "../method.ts";
import { wholeNumber } from "../tuner/config.ts";

/** PEFT 0.21's XLoraConfig. */
export const xloraSchema = z.looseObject({
  hidden_size: wholeNumber.nullish().transform((value) => value ?? 4096),
  adapters: z.record(z.string(), z.string(), t("It must be an object of names and paths.")),
  enable_softmax: z.boolean().default(true),
  enable_softmax_topk: z.boolean().default(false),
  layerwise_scalings: z.boolean().default(false),
  xlora_depth: wholeNumber.max(1000, t("It must be at most 1000.")).default(1),
  xlora_size: wholeNumber.default(2048),
  xlora_dropout_p: z.number().default(0.2),
  use_trainable_adapters: z.boolean().default(false),
  softmax_temperature: z.number().default(1),
  top_k_lora: z.int().nonnegative(t("It must not be negative.")).nullish(),
  scaling_pass_value: z.number().default(0),
  global_scaling_weight: z.number().default(1),
});

export type XloraConfig = z.infer<typeof xloraSchema>;

/** @throws bad-file naming the field */
export function parseXlora({ raw, file }: AdapterConfig): XloraConfig {
  const config = parseFields(xloraSchema, raw, file);
  const fail = (field: string, problem: string): Error =>
    new GraftError("bad-file", t('{0}: field "{1}" {2}.', file, field, problem), { file, field });
  const experts = Object.keys(config.adapters).length;
  if (experts === 0) throw fail("adapters", t("names no expert"));
  if ((config.top_k_lora ?? 0) > experts) {
    throw fail(
      "top_k_lora",
      t("is {0}; there are {1} experts", String(config.top_k_lora), experts),
    );
  }
  if (config.softmax_temperature === 0) throw fail("softmax_temperature", "is 0");
  return config;
}

/** Every field of PEFT 0.21's XLoraConfig: what it means and its default. */
export const xloraFields: Readonly<Record<string, FieldInfo>> = {
  hidden_size: { default: null, meaning: t("Size of the hidden state that the classifier reads.") },
  adapters: { default: null, meaning: t("The experts: LoRA adapters by name.") },
  enable_softmax: { default: true, meaning: t("The experts' weights of a token sum to 1.") },
  enable_softmax_topk: {
    default: false,
    meaning: t("A softmax goes over the weights that top_k_lora leaves."),
  },
  layerwise_scalings: { default: false, meaning: t("Every layer has weights of its own.") },
  xlora_depth: { default: 1, meaning: t("Linear layers of the classifier.") },
  xlora_size: { default: 2048, meaning: t("Width of the classifier between its layers.") },
  xlora_dropout_p: { default: 0.2, meaning: t("Dropout in training; no effect on answers.") },
  use_trainable_adapters: { default: false, meaning: t("The experts were trained too.") },
  softmax_temperature: {
    default: 1,
    meaning: t("The larger, the more even the experts' weights."),
  },
  top_k_lora: { default: null, meaning: t("Experts that share a token; all when empty.") },
  scaling_pass_value: {
    default: 0,
    meaning: t("Weight of every expert in the pass that the classifier reads."),
  },
  global_scaling_weight: { default: 1, meaning: t("Factor on the update.") },
};
