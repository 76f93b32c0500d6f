/**
 * Initialisations of LoRA that are made from training data or from a quantized base, and their own
 * configs (PEFT 0.21, tuners/lora/config.py).
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import { isOff } from "./loraConfig.ts";

const evaFields = z.looseObject({
  rho: z.number().min(1).default(2),
  tau: z.number().min(0).max(1).default(0.99),
  use_label_mask: z.boolean().default(true),
  label_mask_value: z.int().default(-100),
  whiten: z.boolean().default(false),
  adjust_scaling_factors: z.boolean().default(true),
});

const cordaFields = z.looseObject({
  corda_method: z.enum(["ipm", "kpm"], t("It must be ipm or kpm.")).default("ipm"),
});

const loraGaFields = z.looseObject({
  direction: z
    .enum(["ArBr", "A2rBr", "ArB2r", "random"], t("It must be ArBr, A2rBr, ArB2r or random."))
    .default("ArB2r"),
  scale: z
    .enum(
      ["stable", "weight_svd", "gd_scale", "unit"],
      t("It must be stable, weight_svd, gd_scale or unit."),
    )
    .default("stable"),
  stable_gamma: z.number().positive().default(16),
});

const loftqFields = z.looseObject({
  // PEFT 0.21 has no others.
  loftq_bits: z.literal([4, 8]).default(4),
  loftq_iter: z.int().positive().default(1),
});

/** What each preparation is set by: the field of the config, and what it may hold. */
const own = {
  eva: ["eva_config", evaFields],
  corda: ["corda_config", cordaFields],
  lora_ga: ["lora_ga_config", loraGaFields],
  loftq: ["loftq_config", loftqFields],
} as const;

/** An initialisation that needs more than the base's weights. */
export type PreparationName = keyof typeof own;

/** As people call them. */
export const preparationLabels: Readonly<Record<PreparationName, string>> = {
  eva: "EVA",
  corda: "CorDA",
  lora_ga: "LoRA-GA",
  loftq: "LoftQ",
};

export type EvaConfig = z.infer<typeof evaFields>;
export type CordaConfig = z.infer<typeof cordaFields>;
export type LoraGaConfig = z.infer<typeof loraGaFields>;
export type LoftqConfig = z.infer<typeof loftqFields>;

interface PreparationConfigs {
  eva: EvaConfig;
  corda: CordaConfig;
  lora_ga: LoraGaConfig;
  loftq: LoftqConfig;
}

/** The preparation that a config asks for; null for those that follow from the base and a seed. */
export function preparationOf({
  peftType,
  raw,
}: Pick<AdapterConfig, "peftType" | "raw">): PreparationName | null {
  const init = raw["init_lora_weights"];
  const isOne = peftType === "LORA" && typeof init === "string" && Object.hasOwn(own, init);
  return isOne ? (init as PreparationName) : null;
}

/** @throws bad-file naming the field that is not what it must be */
export function preparationConfig<K extends PreparationName>(
  name: K,
  { raw, file }: { raw: Readonly<Record<string, unknown>>; file: string },
): PreparationConfigs[K] {
  const [field, schema] = own[name];
  const whole = z.looseObject({ [field]: schema.nullish() });
  const given = parseFields(whole, raw, file)[field] ?? schema.parse({});
  return given as PreparationConfigs[K];
}

/** What of a preparation's config does nothing here, and configs of those that are not asked for. */
export function preparationWarnings(config: AdapterConfig): string[] {
  const { raw } = config;
  const chosen = preparationOf(config);
  const warnings: string[] = [];
  for (const [name, [field]] of Object.entries(own)) {
    if (isOff(raw[field])) continue;
    if (name !== chosen) {
      warnings.push(t('Field "{0}" has no effect: init_lora_weights is not "{1}".', field, name));
    }
  }
  if (chosen === null) return warnings;
  const [field] = own[chosen];
  if (isOff(raw[field])) {
    warnings.push(t('Field "{0}" is missing; its defaults are used.', field));
    return warnings;
  }
  const idle = ["cache_file", "covariance_file", "use_float16_for_covariance"].filter(
    (key) => !isOff((raw[field] as Record<string, unknown>)[key]),
  );
  for (const key of idle) {
    warnings.push(t('Field "{0}" has no effect in Graft.', `${field}.${key}`));
  }
  return warnings;
}

/** True where the base loses what the adapter begins with, and the file alone does not say what that was. */
export function isSavedAsPlain(init: unknown): boolean {
  return /^(pissa_niter_\d+|corda|lora_ga)$/.test(String(init));
}
