import { z } from "zod";
import { GraftError, unsupported } from "../base/errors.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import { matchPattern } from "../checkpoint/targets.ts";
import type { FieldInfo, MethodBase } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";

const initialisations = [
  true,
  false,
  "gaussian",
  "eva",
  "olora",
  "pissa",
  "corda",
  "loftq",
  "orthogonal",
  "lora_ga",
];

const tokenIndices = z.union([z.array(z.int()), z.record(z.string(), z.array(z.int()))]);

/** PEFT 0.21's LoraConfig, as far as it changes what a saved adapter computes. */
export const loraSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(8),
  lora_alpha: z.number("It must be a number.").default(8),
  rank_pattern: z
    .record(z.string(), wholeNumber)
    .nullish()
    .transform((value) => value ?? {}),
  alpha_pattern: z
    .record(z.string(), z.number())
    .nullish()
    .transform((value) => value ?? {}),
  use_rslora: z.boolean().default(false),
  use_dora: z.boolean().default(false),
  lora_bias: z.boolean().default(false),
  trainable_token_indices: tokenIndices.nullish().transform((value) => value ?? null),
  ensure_weight_tying: z.boolean().default(false),
  bias: z.enum(["none", "all", "lora_only"], "It must be none, all or lora_only.").default("none"),
  init_lora_weights: z
    .union([z.boolean(), z.string()])
    .refine(
      (value) => initialisations.includes(value) || /^pissa_niter_\d+$/.test(String(value)),
      `PEFT 0.21 knows ${initialisations.join(", ")} and pissa_niter_N.`,
    )
    .default(true),
});

export type LoraConfig = z.infer<typeof loraSchema>;

/** Options that change the result and that Graft does not run yet, with the value that is neutral. */
const unsupportedOptions: Readonly<Record<string, (value: unknown) => boolean>> = {
  target_parameters: isOff,
  layer_replication: isOff,
  alora_invocation_tokens: isOff,
  use_qalora: isOff,
  use_bdlora: isOff,
  arrow_config: isOff,
  kasa_config: isOff,
  // These replace the base's weights by a residual, which a file with raw factors relies on.
  init_lora_weights: (value) => !/^(pissa.*|olora|corda|lora_ga|loftq)$/.test(String(value)),
};

function isOff(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** @throws bad-file naming the field, or unsupported naming the option */
export function checkLoraConfig(
  _config: LoraConfig,
  { raw, file, floatFields }: AdapterConfig,
): void {
  if (floatFields.has("r")) {
    throw new GraftError(
      "bad-file",
      `${file}: field "r" is written as a float, it must be a whole number.`,
      {
        file,
        field: "r",
      },
    );
  }
  for (const [option, isNeutral] of Object.entries(unsupportedOptions)) {
    if (!isNeutral(raw[option])) {
      throw unsupported(
        `${file}: Graft does not run LoRA with ${option} = ${JSON.stringify(raw[option])} yet`,
      );
    }
  }
}

/** Rank, alpha and scaling of one module: alpha / r, with rsLoRA alpha / √r (lora/layer.py). */
export function loraScale(
  config: LoraConfig,
  path: string,
  file: string,
): { rank: number; alpha: number; scaling: number } {
  const rank = matchPattern(config.rank_pattern, path, { field: "rank_pattern", file }) ?? config.r;
  const alpha =
    matchPattern(config.alpha_pattern, path, { field: "alpha_pattern", file }) ?? config.lora_alpha;
  return { rank, alpha, scaling: alpha / (config.use_rslora ? Math.sqrt(rank) : rank) };
}

/** What PEFT decides in silence: defaults for missing fields, targets that match nothing. */
export function loraWarnings(
  config: LoraConfig,
  { raw }: AdapterConfig,
  base: MethodBase,
): string[] {
  const warnings: string[] = [];
  for (const field of ["r", "lora_alpha"] as const) {
    if (raw[field] === undefined) {
      warnings.push(`Field "${field}" is missing; PEFT's default ${config[field]} is used.`);
    }
  }
  if (config.lora_alpha < 0) {
    warnings.push(`Field "lora_alpha" is ${config.lora_alpha}: the update is subtracted.`);
  }
  const idle = config.modules_to_save.filter((name) => !matchesSome(name, base));
  if (idle.length > 0) {
    warnings.push(
      `Field "modules_to_save" names what this base does not have: ${idle.join(", ")}.`,
    );
  }
  return warnings;
}

function matchesSome(name: string, { tree }: MethodBase): boolean {
  return tree.modules.some(({ path }) => path === name || path.endsWith(`.${name}`));
}

/** Every field of PEFT 0.21's LoraConfig: what it means and its default. */
export const loraFieldInfo: Readonly<Record<string, FieldInfo>> = {
  r: { default: 8, meaning: "Rank: how many directions each module's update has." },
  lora_alpha: { default: 8, meaning: "Strength: the update is scaled by alpha / r." },
  lora_dropout: { default: 0, meaning: "Dropout in training; no effect on answers." },
  fan_in_fan_out: { default: false, meaning: "The base stores its weights as [in, out]." },
  bias: { default: "none", meaning: "Which biases were trained and are stored." },
  use_rslora: { default: false, meaning: "Rank-stabilised: the update is scaled by alpha / √r." },
  init_lora_weights: {
    default: true,
    meaning: "How the factors were initialised before training.",
  },
  rank_pattern: { default: {}, meaning: "Ranks of single modules; the first match counts." },
  alpha_pattern: { default: {}, meaning: "Alphas of single modules; the first match counts." },
  megatron_config: { default: null, meaning: "Megatron's parallel layers, in training." },
  megatron_core: { default: "megatron.core", meaning: "Megatron's module, in training." },
  trainable_token_indices: { default: null, meaning: "Tokens whose embeddings were trained." },
  loftq_config: {
    default: {},
    meaning: "LoftQ: quantization that the initialisation made up for.",
  },
  eva_config: { default: null, meaning: "EVA: initialisation from activations." },
  corda_config: { default: null, meaning: "CorDA: initialisation from covariances." },
  lora_ga_config: { default: null, meaning: "LoRA-GA: initialisation from gradients." },
  use_dora: {
    default: false,
    meaning: "DoRA: direction and magnitude of weights are trained apart.",
  },
  velora_config: { default: null, meaning: "VeLoRA: compressed activations in training." },
  monteclora_config: { default: null, meaning: "MonteCLoRA: sampled factors in training." },
  alora_invocation_tokens: { default: null, meaning: "aLoRA: active from these tokens on." },
  use_qalora: { default: false, meaning: "QALoRA: grouped input for quantized bases." },
  qalora_group_size: { default: 16, meaning: "QALoRA: size of the groups." },
  layer_replication: { default: null, meaning: "Layers of the base that are repeated." },
  lora_bias: { default: false, meaning: "The update has a bias." },
  target_parameters: { default: null, meaning: "Parameters (not modules) that carry an update." },
  use_bdlora: { default: null, meaning: "Block-diagonal factors." },
  arrow_config: { default: null, meaning: "Arrow: routing between several adapters." },
  kasa_config: { default: null, meaning: "KaSA: singular values of the base are replaced." },
  ensure_weight_tying: { default: false, meaning: "Tied embeddings stay tied." },
  runtime_config: { default: {}, meaning: "Options of a running model; not stored knowledge." },
};
