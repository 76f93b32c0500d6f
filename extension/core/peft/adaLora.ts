/**
 * AdaLoRA (https://openreview.net/forum?id=lq62uWRJjiY; PEFT tuners/adalora): the update as a
 * singular value decomposition, ΔW = alpha / (init_r + 1e-5) · B diag(E) A. Training takes ranks away
 * module by module: stored tensors are already cut, `rank_pattern` tells what was kept, and the
 * scaling stays that of `init_r`. Run time: the low-rank path, with E and scaling folded into B.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, unsupported } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import { scaleColumns } from "./effect.ts";
import { adaLoraTargets } from "./defaultTargets.ts";
import { loraSchema } from "./loraConfig.ts";
import { loraFieldInfo } from "./loraFields.ts";
import type { FieldInfo } from "./method.ts";
import { tokenModules, trainableTokens } from "./tokenRows.ts";
import { wholeNumber } from "./tuner/config.ts";
import { tunerMethod } from "./tuner/tuner.ts";

const step = z.int(t("It must be a whole number.")).nonnegative(t("It must not be negative."));

const schema = z.looseObject({
  ...loraSchema.shape,
  init_r: wholeNumber.default(12),
  target_r: z.int().default(8),
  tinit: step.default(0),
  tfinal: step.default(0),
  total_step: wholeNumber.nullish(),
  orth_reg_weight: z.number().nonnegative(t("It must not be negative.")).default(0.5),
  /** "<path>.lora_E" → which of the `init_r` directions were kept. */
  rank_pattern: z
    .record(z.string(), z.array(z.union([z.boolean(), z.int()])))
    .nullish()
    .transform((value) => value ?? {}),
  // PEFT ignores what LoRA would make of these.
  init_lora_weights: z.unknown().optional(),
});

export type AdaLoraConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  ...loraFieldInfo,
  r: { default: 8, meaning: t("Not used by AdaLoRA, which has init_r and target_r.") },
  target_r: { default: 8, meaning: t("Average rank that training aims at.") },
  init_r: { default: 12, meaning: t("Rank of each module before training takes ranks away.") },
  tinit: { default: 0, meaning: t("Steps of training before ranks are taken away.") },
  tfinal: { default: 0, meaning: t("Steps of training after ranks are settled.") },
  deltaT: { default: 1, meaning: t("Steps between two allocations of ranks.") },
  beta1: { default: 0.85, meaning: t("Smoothing of the sensitivity, in training.") },
  beta2: { default: 0.85, meaning: t("Smoothing of the uncertainty, in training.") },
  orth_reg_weight: {
    default: 0.5,
    meaning: t("Weight of the orthogonality penalty, in training."),
  },
  total_step: { default: null, meaning: t("Steps of the whole training.") },
  rank_pattern: { default: null, meaning: t("Which directions of each module were kept.") },
};

export const adaLora = tunerMethod<AdaLoraConfig>({
  peftType: "ADALORA",
  schema,
  fields,
  defaultTargets: adaLoraTargets,
  check: checkAdaLora,
  suffixes: ["lora_A", "lora_B", "lora_E", "token_adapter.trainable_tokens_delta"],
  kinds: ["linear"],
  rank: ({ init_r: rank }) => rank,
  scale,
  shapes: (module, config): Record<string, Shape> => {
    const { rank } = scale(config, module.path);
    const inputs = module.kind === "norm" ? 0 : module.in;
    return { lora_A: [rank, inputs], lora_B: [module.out, rank], lora_E: [rank, 1] };
  },
  linear: (module, tensors, { config }) => {
    const { rank, scaling } = scale(config, module.path);
    if (rank === 0) return {};
    const factors = tensors.values("lora_E").map((value) => value * scaling);
    const b = scaleColumns(tensors.values("lora_B"), factors, rank);
    return { lowRank: { a: tensors.values("lora_A"), b, rank } };
  },
  unstored: (config, module) => ({
    // Training masks directions; only loading resizes the factors.
    trained:
      module.kind === "norm"
        ? 0
        : (config.init_r - scale(config, module.path).rank) * (module.in + module.out + 1),
    // The rank itself.
    frozen: 1,
  }),
  extraModules: tokenModules,
  extra: trainableTokens,
});

/** Rank that the budget has left to a module, alpha, and the scaling alpha / (init_r + 1e-5). */
export function scale(
  config: AdaLoraConfig,
  path: string,
): { rank: number; alpha: number; scaling: number } {
  const { init_r: initial, lora_alpha: alpha, rank_pattern: pattern } = config;
  // Names may still hold the adapter's own: "<path>.lora_E.default".
  const kept = Object.entries(pattern).find(([name]) => name.split(".lora_E")[0] === path)?.[1];
  const rank = kept ? kept.filter(Boolean).length : initial;
  return { rank, alpha, scaling: (alpha > 0 ? alpha : rank) / (initial + 1e-5) };
}

/** PEFT's own conditions, then what would change the model in other ways than AdaLoRA's. */
function checkAdaLora(config: AdaLoraConfig, { raw, file }: AdapterConfig): void {
  const { total_step: total, tinit, tfinal } = config;
  const fail = (field: string, problem: string): GraftError =>
    new GraftError("bad-file", t('{0}: field "{1}" {2}.', file, field, problem), { file, field });
  if (!total) throw fail("total_step", t("is missing; AdaLoRA needs a number of steps"));
  if (tinit >= total - tfinal) {
    throw fail(
      "tinit",
      t("is {0}: no step is left between it and the last {1} of {2}", tinit, tfinal, total),
    );
  }
  if (config.use_dora) throw fail("use_dora", t("is set, which AdaLoRA does not have"));
  const { loftq_config: loftq } = raw;
  if (loftq && Object.keys(loftq).length > 0) {
    throw fail("loftq_config", t("is set, which AdaLoRA does not have"));
  }
  for (const option of ["layer_replication", "target_parameters", "alora_invocation_tokens"]) {
    const value = raw[option];
    if (Array.isArray(value) && value.length > 0) {
      throw unsupported(t("{0}: Graft does not run AdaLoRA with {1}", file, option));
    }
  }
}
