import { t } from "@vscode/l10n";
import { z } from "zod";
import { misfit, unsupported } from "../../base/errors.ts";
import type { FieldInfo, MethodBase } from "../method.ts";
import { wholeNumber } from "../tuner/config.ts";

const optionalNumber = wholeNumber.nullish().transform((value) => value ?? null);

/** The fields that every prompt method has (PEFT's PromptLearningConfig). */
export const promptFields = {
  num_virtual_tokens: wholeNumber,
  token_dim: optionalNumber,
  num_transformer_submodules: optionalNumber,
  num_attention_heads: optionalNumber,
  num_layers: optionalNumber,
  modules_to_save: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
};

const promptSchema = z.looseObject(promptFields);

export type PromptConfig = z.infer<typeof promptSchema>;

/** Meanings of the shared fields, for forms. */
export const promptFieldInfo: Readonly<Record<string, FieldInfo>> = {
  num_virtual_tokens: {
    default: null,
    meaning: t("How many trained tokens stand before a prompt."),
  },
  token_dim: {
    default: null,
    meaning: t("Size of a token's embedding; from the base when empty."),
  },
  num_transformer_submodules: {
    default: null,
    meaning: t("2 for models with encoder and decoder."),
  },
  num_attention_heads: {
    default: null,
    meaning: t("Heads of the base; from the base when empty."),
  },
  num_layers: { default: null, meaning: t("Layers of the base; from the base when empty.") },
  modules_to_save: { default: null, meaning: t("Modules that were trained and are stored whole.") },
};

/**
 * How many stacks of the base a prompt has rows for (PEFT's num_transformer_submodules): of a model
 * with encoder and decoder two, unless the config says otherwise.
 * @throws unsupported for a prompt that was trained for an encoder and a decoder, on a base without
 */
export function submodules(
  { num_transformer_submodules: stated }: PromptConfig,
  { base, file }: { base: MethodBase; file: string },
): number {
  const count = stated ?? (base.hasEncoder ? 2 : 1);
  if (count === 1 || (count === 2 && base.hasEncoder)) return count;
  throw unsupported(
    t(
      '{0}: field "num_transformer_submodules" is {1}, {2}',
      file,
      count,
      base.hasEncoder
        ? t("the base has two stacks")
        : t("a prompt for encoder and decoder; this base only decodes"),
    ),
  );
}

/** Layers of an encoder in front of a decoder. */
export function encoderLayers({ config, attention }: MethodBase): number {
  const stated = config.raw["num_layers"];
  return typeof stated === "number" ? stated : attention.layers;
}

/**
 * Says in the config's own words where a prompt was trained for another base.
 * @throws misfit
 */
export function checkSize(
  field: "token_dim" | "num_layers" | "num_attention_heads",
  { config, own, file }: { config: PromptConfig; own: number; file: string },
): void {
  const stated = config[field];
  if (stated === null || stated === own) return;
  throw misfit(t('{0}: field "{1}" is {2}, this base has {3}.', file, field, stated, own), {
    file,
    field,
  });
}

/** The embedding that a prompt bypasses: the first of the model. */
export function tokenEmbedding({ tree }: MethodBase): {
  path: string;
  in: number;
  out: number;
  /** Factor on its rows, part of the module. */
  scale?: number;
} {
  const found = tree.modules.find((module) => module.kind === "embedding");
  if (found?.kind === "embedding") return found;
  throw unsupported(t("This base has no token embedding that virtual tokens could stand for"));
}
