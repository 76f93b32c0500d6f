import { z } from "zod";
import { GraftError, unsupported } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import { matchPattern, type TargetFields } from "../checkpoint/targets.ts";
import type { FieldInfo, MethodBase } from "./method.ts";

const size = z.int("It must be a whole number.").positive("It must be at least 1.");
const names = z.union(
  [z.string(), z.array(z.string())],
  "It must be a string or a list of strings.",
);
const optionalNames = names.nullish().transform((value) => value ?? null);
const indices = z.union([z.int(), z.array(z.int())], "It must be a layer index or a list of them.");

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

/** PEFT 0.21's LoraConfig, as far as it changes what a saved adapter computes. */
const schema = z.looseObject({
  r: size.default(8),
  lora_alpha: z.number("It must be a number.").default(8),
  target_modules: optionalNames,
  exclude_modules: optionalNames,
  layers_to_transform: indices.nullish().transform((value) => value ?? null),
  layers_pattern: optionalNames,
  rank_pattern: z
    .record(z.string(), size)
    .nullish()
    .transform((value) => value ?? {}),
  alpha_pattern: z
    .record(z.string(), z.number())
    .nullish()
    .transform((value) => value ?? {}),
  modules_to_save: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  use_rslora: z.boolean().default(false),
  bias: z.enum(["none", "all", "lora_only"], "It must be none, all or lora_only.").default("none"),
  init_lora_weights: z
    .union([z.boolean(), z.string()])
    .refine(
      (value) => initialisations.includes(value) || /^pissa_niter_\d+$/.test(String(value)),
      `PEFT 0.21 knows ${initialisations.join(", ")} and pissa_niter_N.`,
    )
    .default(true),
});

export type LoraFields = z.infer<typeof schema>;

/** Options that change the result and that Graft does not run yet, with the value that is neutral. */
const unsupportedOptions: Readonly<Record<string, (value: unknown) => boolean>> = {
  use_dora: isOff,
  lora_bias: isOff,
  modules_to_save: isOff,
  trainable_token_indices: isOff,
  target_parameters: isOff,
  layer_replication: isOff,
  alora_invocation_tokens: isOff,
  use_qalora: isOff,
  use_bdlora: isOff,
  arrow_config: isOff,
  kasa_config: isOff,
  bias: (value) => isOff(value) || value === "none",
  // These replace the base's weights by a residual, which a file with raw factors relies on.
  init_lora_weights: (value) => !/^(pissa.*|olora|corda|lora_ga|loftq)$/.test(String(value)),
};

function isOff(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** @throws bad-file naming the field, or unsupported naming the option */
export function parseLoraConfig({ raw, file, floatFields }: AdapterConfig): LoraFields {
  const fields = parseFields(schema, raw, file);
  if (floatFields.has("r"))
    throw badCombination(file, "r", "is written as a float, it must be a whole number");
  if (typeof fields.target_modules === "string") {
    for (const field of ["layers_to_transform", "layers_pattern"] as const) {
      if (fields[field] !== null && fields.target_modules !== "all-linear") {
        throw badCombination(
          file,
          field,
          `cannot be used with target_modules "${fields.target_modules}"`,
        );
      }
    }
  }
  if (fields.layers_pattern?.length && fields.layers_to_transform === null) {
    throw badCombination(file, "layers_pattern", "needs layers_to_transform beside it");
  }
  return fields;
}

export function refuseUnsupported({ raw, file }: AdapterConfig): void {
  for (const [option, isNeutral] of Object.entries(unsupportedOptions)) {
    if (!isNeutral(raw[option])) {
      throw unsupported(
        `${file}: Graft does not run LoRA with ${option} = ${JSON.stringify(raw[option])} yet`,
      );
    }
  }
}

export function targetFields(
  fields: LoraFields,
  { file, defaultTargets }: { file: string; defaultTargets: readonly string[] | null },
): TargetFields {
  const targets = fields.target_modules ?? defaultTargets;
  if (targets === null || targets.length === 0) {
    throw new GraftError("bad-file", `${file}: field "target_modules" names no module.`, {
      file,
      field: "target_modules",
    });
  }
  return {
    file,
    targetModules: targets,
    excludeModules: fields.exclude_modules,
    layersToTransform: fields.layers_to_transform,
    layersPattern: fields.layers_pattern,
    modulesToSave: fields.modules_to_save,
  };
}

/** Rank, alpha and scaling of one module: alpha / r, with rsLoRA alpha / √r (lora/layer.py). */
export function loraScale(
  fields: LoraFields,
  path: string,
  file: string,
): { rank: number; alpha: number; scaling: number } {
  const rank = matchPattern(fields.rank_pattern, path, { field: "rank_pattern", file }) ?? fields.r;
  const alpha =
    matchPattern(fields.alpha_pattern, path, { field: "alpha_pattern", file }) ?? fields.lora_alpha;
  return { rank, alpha, scaling: alpha / (fields.use_rslora ? Math.sqrt(rank) : rank) };
}

/** What PEFT decides in silence: defaults for missing fields, targets that match nothing. */
export function configWarnings(config: AdapterConfig, base: MethodBase): string[] {
  const fields = parseLoraConfig(config);
  const warnings: string[] = [];
  for (const field of ["r", "lora_alpha"] as const) {
    if (config.raw[field] === undefined)
      warnings.push(`Field "${field}" is missing; PEFT's default ${fields[field]} is used.`);
  }
  if (fields.lora_alpha < 0)
    warnings.push(`Field "lora_alpha" is ${fields.lora_alpha}: the update is subtracted.`);
  if (fields.target_modules === null) {
    const names = base.defaultTargets?.join(", ") ?? "none";
    warnings.push(
      `Field "target_modules" is missing; PEFT's default for this family is used: ${names}.`,
    );
  }
  const paths = base.tree.modules.map(({ path }) => path);
  const names = Array.isArray(fields.target_modules) ? fields.target_modules : [];
  const idle = names.filter(
    (name) => !paths.some((path) => path === name || path.endsWith(`.${name}`)),
  );
  if (idle.length > 0)
    warnings.push(`Field "target_modules" names what this base does not have: ${idle.join(", ")}.`);
  return warnings;
}

function badCombination(file: string, field: string, problem: string): GraftError {
  return new GraftError("bad-file", `${file}: field "${field}" ${problem}.`, { file, field });
}

/** Every field of PEFT 0.21's LoraConfig: what it means and its default. */
export const loraFields: Readonly<Record<string, FieldInfo>> = {
  r: { default: 8, meaning: "Rank: how many directions each module's update has." },
  lora_alpha: { default: 8, meaning: "Strength: the update is scaled by alpha / r." },
  target_modules: {
    default: null,
    meaning: "Modules that carry an update: names, a regex or all-linear.",
  },
  exclude_modules: { default: null, meaning: "Modules left out although they are targeted." },
  lora_dropout: { default: 0, meaning: "Dropout in training; no effect on answers." },
  fan_in_fan_out: { default: false, meaning: "The base stores its weights as [in, out]." },
  bias: { default: "none", meaning: "Which biases were trained and are stored." },
  use_rslora: { default: false, meaning: "Rank-stabilised: the update is scaled by alpha / √r." },
  modules_to_save: {
    default: null,
    meaning: "Modules that were trained whole and are stored whole.",
  },
  init_lora_weights: {
    default: true,
    meaning: "How the factors were initialised before training.",
  },
  layers_to_transform: { default: null, meaning: "Only these layers carry an update." },
  layers_pattern: {
    default: null,
    meaning: "Name of the list of layers that the indices refer to.",
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
