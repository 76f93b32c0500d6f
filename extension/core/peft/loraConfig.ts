import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, misfit, unsupported } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import { matchPattern } from "../checkpoint/targets.ts";
import type { MethodBase } from "./method.ts";
import { rankOf, tunerFields, wholeNumber } from "./tuner/config.ts";

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
  "mica",
];

const tokenIndices = z.union([z.array(z.int()), z.record(z.string(), z.array(z.int()))]);

const nameList = z
  .array(z.string())
  .nullish()
  .transform((value) => value ?? []);

/** A variant's own options, which PEFT takes as an object or not at all. */
const optionsOf = z.record(z.string(), z.unknown(), t("It must be an object.")).nullish();

/** PEFT 0.21's BdLoraConfig. */
const blockFields = z.looseObject({
  target_modules_bd_a: nameList,
  target_modules_bd_b: nameList,
  nblocks: wholeNumber.default(1),
  match_strict: z.boolean().default(true),
});

type BlockFields = z.infer<typeof blockFields>;

/** PEFT 0.21's LoraConfig, as far as it changes what a saved adapter computes. */
export const loraSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(8),
  lora_alpha: z.number(t("It must be a number.")).default(8),
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
  bias: z
    .enum(["none", "all", "lora_only"], t("It must be none, all or lora_only."))
    .default("none"),
  init_lora_weights: z
    .union([z.boolean(), z.string()])
    .transform(spelled)
    .refine(
      (value) => initialisations.includes(value) || /^pissa_niter_\d+$/.test(String(value)),
      t("PEFT 0.21 knows {0} and pissa_niter_N.", initialisations.join(", ")),
    )
    .default(true),
  use_qalora: z.boolean().default(false),
  use_bdlora: z
    .union([blockFields, z.literal(false)])
    .nullish()
    .transform((value) => value || null),
  alora_invocation_tokens: z
    .array(z.int().nonnegative())
    .nullish()
    .transform((value) => value ?? []),
  layer_replication: z
    .array(
      z.tuple([z.int(), z.int()]),
      t("It must be a list of [first layer, layer after the last]."),
    )
    .nullish()
    .transform((value) => value ?? []),
  target_parameters: nameList,
  eva_config: optionsOf,
  corda_config: optionsOf,
  lora_ga_config: optionsOf,
  velora_config: optionsOf,
  monteclora_config: optionsOf,
  arrow_config: optionsOf,
  megatron_config: optionsOf,
  kasa_config: z
    .record(z.string(), z.unknown())
    .nullish()
    .transform((value) => value ?? null),
});

/** PEFT knows some of the names in any case. */
function spelled(value: boolean | string): boolean | string {
  const plain = String(value).toLowerCase();
  return ["gaussian", "olora"].includes(plain) ? plain : value;
}

export type LoraConfig = z.infer<typeof loraSchema>;

const converted = t("Save it again with path_initial_model_for_weight_conversion, as plain LoRA.");

/** Why an adapter with raw factors of these initialisations is refused: PEFT has no one answer either. */
const irrecoverable: readonly [RegExp, reason: string, remedy: string][] = [
  [
    /^pissa_niter_/,
    t(
      "draws a randomised SVD for the base's residual from an unseeded generator: two loads by PEFT differ from each other",
    ),
    converted,
  ],
  [
    /^corda$/,
    t(
      "takes directions of its sample data out of the base, which the file does not hold; PEFT itself refuses to load it",
    ),
    converted,
  ],
  [
    /^loftq$/,
    t(
      "replaces the base by what bitsandbytes makes of it when it is loaded; without bitsandbytes PEFT itself refuses to load it",
    ),
    t(
      "Where the base was saved quantized, save the adapter with init_lora_weights = true beside it.",
    ),
  ],
];

/** Options that PEFT does not let go together (lora/layer.py, resolve_lora_variant). */
const variants = [
  "use_dora",
  "use_bdlora",
  "alora_invocation_tokens",
  "velora_config",
  "monteclora_config",
  "kasa_config",
  "arrow_config",
];

/** True for a field that is absent, false or empty. */
export function isOff(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** @throws bad-file naming the field, or unsupported naming the option */
export function checkLoraConfig(config: LoraConfig, stored: AdapterConfig): void {
  const { raw, file, text } = stored;
  // The quick look comes first: which fields are floats takes a parse that lists of adapters feel.
  if (/"r"\s*:\s*-?\d+[.eE]/.test(text) && stored.floatFields.has("r")) {
    throw new GraftError(
      "bad-file",
      t('{0}: field "r" is written as a float, it must be a whole number.', file),
      {
        file,
        field: "r",
      },
    );
  }
  // A broken pattern is an error before any module asks for it.
  loraScale(config, "", file);
  if (!isOff(raw["arrow_config"])) {
    throw unsupported(
      t(
        "{0}: arrow_config makes a router among other adapters, which PEFT 0.21 saves and cannot load",
        file,
      ),
      t(
        "It holds nothing of its own: load the task adapters and route among them (PeftModel.arrowInputs). Where use_gks was on, those saved beside it have lost the general knowledge already.",
      ),
    );
  }
  const init = String(config.init_lora_weights);
  const [, reason, remedy] = irrecoverable.find(([pattern]) => pattern.test(init)) ?? [];
  if (reason) throw unsupported(t('{0}: init_lora_weights "{1}" {2}', file, init, reason), remedy);
  checkVariants(config, raw, file);
}

function checkVariants(config: LoraConfig, raw: JsonObject, file: string): void {
  const fail = (field: string, problem: string): Error =>
    new GraftError("bad-file", t('{0}: field "{1}" {2}.', file, field, problem), { file, field });
  const chosen = variants.filter(
    (option) => !isOff(raw[option]) || (option === "kasa_config" && usesKasa(config)),
  );
  if (chosen.length > 0 && isMica(config)) {
    throw fail(chosen[0] as string, t("cannot be used with init_lora_weights mica, as in PEFT"));
  }
  if (chosen.length > 1) {
    throw fail(chosen[1] as string, t("cannot be used with {0}, as in PEFT", String(chosen[0])));
  }
  if (config.lora_bias && typeof config.init_lora_weights !== "boolean") {
    throw fail(
      "lora_bias",
      t("cannot be used with init_lora_weights {0}", config.init_lora_weights),
    );
  }
  if (config.lora_bias && config.use_dora)
    throw fail("lora_bias", t("cannot be used with use_dora"));
  if (config.lora_bias && config.alora_invocation_tokens.length > 0) {
    throw unsupported(t("{0}: Graft does not run lora_bias with alora_invocation_tokens", file));
  }
  const { target_modules_bd_a: a, target_modules_bd_b: b } = config.use_bdlora ?? noBlocks;
  const both = a.filter((name) => b.includes(name));
  if (both.length > 0) throw fail("use_bdlora", t("names {0} for both factors", both.join(", ")));
}

/** MiCA (https://arxiv.org/abs/2604.01694): LoRA whose B was chosen once and not trained. */
export function isMica({ init_lora_weights: init }: LoraConfig): boolean {
  return init === "mica";
}

/** True when the base's smallest singular values give way to the adapter (KaSA). */
export function usesKasa({ kasa_config: kasa }: LoraConfig): boolean {
  return kasa !== null;
}

const noBlocks: BlockFields = {
  target_modules_bd_a: [],
  target_modules_bd_b: [],
  nblocks: 1,
  match_strict: true,
};

/** In how many blocks on its diagonal each factor of a module is stored (BD-LoRA): 1 is dense. */
export function loraBlocks(
  { use_bdlora: blocks }: LoraConfig,
  path: string,
  file: string,
): { a: number; b: number } {
  if (!blocks) return { a: 1, b: 1 };
  const isA = blocks.target_modules_bd_a.some((name) => path.includes(name));
  const isB = blocks.target_modules_bd_b.some((name) => path.includes(name));
  if (isA === isB && (isA || blocks.match_strict)) {
    const matched = isA ? "both" : "neither";
    throw new GraftError(
      "bad-file",
      t(
        '{0}: field "use_bdlora": {1} matches {2} of target_modules_bd_a and _bd_b.',
        file,
        path,
        matched,
      ),
      { file, field: "use_bdlora" },
    );
  }
  return { a: isA ? blocks.nblocks : 1, b: isB ? blocks.nblocks : 1 };
}

/**
 * The base's layers as `layer_replication` repeats them, [[0, 4], [2, 5]] → 0 1 2 3 2 3 4 (PEFT
 * tuners_utils.replicate_layers); null where it is empty.
 * @throws misfit when the base has not so many
 */
export function replicatedLayers(
  { layer_replication: ranges }: LoraConfig,
  { attention }: MethodBase,
  file: string,
): number[] | null {
  if (ranges.length === 0) return null;
  const fail = (problem: string): Error =>
    misfit(t('{0}: field "layer_replication" {1}.', file, problem), {
      file,
      field: "layer_replication",
    });
  const wrong = ranges.find(([first, end]) => first < 0 || end > attention.layers || end < first);
  if (wrong)
    throw fail(t("names layers [{0}], this base has {1}", wrong.join(", "), attention.layers));
  const layers = ranges.flatMap(([first, end]) =>
    Array.from({ length: end - first }, (_, i) => first + i),
  );
  if (layers.length > 0 && layers.length <= mostLayers) return layers;
  throw fail(t("makes {0} layers; there can be 1 to {1}", layers.length, mostLayers));
}

/** The deepest models have some 130 layers; a graph of many times that is no wish but an accident. */
const mostLayers = 1000;

/** Rank, alpha and scaling of one module: alpha / r, with rsLoRA alpha / √r (lora/layer.py). */
export function loraScale(
  config: LoraConfig,
  path: string,
  file: string,
): { rank: number; alpha: number; scaling: number } {
  const rank = rankOf(path, config, file);
  const alpha =
    matchPattern(config.alpha_pattern, path, { field: "alpha_pattern", file }) ?? config.lora_alpha;
  return { rank, alpha, scaling: alpha / (config.use_rslora ? Math.sqrt(rank) : rank) };
}

/** What is said of a raw LoRA-GA adapter. */
export function lostBeginning(): string {
  return t(
    "LoRA-GA took a part of the base out when training began, which the file does not hold. As in PEFT the base stays whole, so answers are not those of the training. Convert the adapter with path_initial_model_for_weight_conversion when it is saved.",
  );
}

/** What PEFT decides in silence: defaults for missing fields. */
export function loraWarnings(config: LoraConfig, { raw }: AdapterConfig): string[] {
  const warnings: string[] = [];
  for (const field of ["r", "lora_alpha"] as const) {
    if (raw[field] === undefined) {
      warnings.push(
        t('Field "{0}" is missing; PEFT\'s default {1} is used.', field, config[field]),
      );
    }
  }
  if (config.lora_alpha < 0) {
    warnings.push(t('Field "lora_alpha" is {0}: the update is subtracted.', config.lora_alpha));
  }
  if (config.init_lora_weights === "lora_ga") {
    warnings.push(lostBeginning());
  }
  if (config.use_qalora) {
    warnings.push(
      t('Field "use_qalora" has no effect on this base: PEFT groups inputs of GPTQ layers alone.'),
    );
  }
  return warnings;
}
