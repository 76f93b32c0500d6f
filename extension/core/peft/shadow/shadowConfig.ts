import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError } from "../../base/errors.ts";
import type { FieldInfo } from "../method.ts";
import { tunerFieldInfo, tunerFields, wholeNumber } from "../tuner/config.ts";

const optionalSize = wholeNumber.nullish().transform((value) => value ?? null);

/** PEFT 0.21's ShadowConfig, as far as it changes what a saved adapter computes. */
export const shadowSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(8),
  shadow_alpha: z.number(t("It must be a number.")).default(0.1),
  shadow_model: z.string().default("mirror"),
  shadow_num_hidden_layers: optionalSize,
  shadow_hidden_size: optionalSize,
  shadow_num_attention_heads: optionalSize,
  shadow_intermediate_size: optionalSize,
  share_embeddings: z.boolean().default(true),
  update_hidden_size: optionalSize,
});

export type ShadowConfig = z.infer<typeof shadowSchema>;

/** @throws bad-file for sizes that a decoder of its own config cannot be given, as in PEFT */
export function checkShadowConfig(config: ShadowConfig, file: string): void {
  if (config.shadow_model === "mirror") return;
  const sizes = [
    "shadow_num_hidden_layers",
    "shadow_hidden_size",
    "shadow_num_attention_heads",
    "shadow_intermediate_size",
  ] as const;
  const field = sizes.find((name) => config[name] !== null);
  if (field === undefined) return;
  throw new GraftError(
    "bad-file",
    t(
      '{0}: field "{1}" cannot be used with shadow_model "{2}", which has sizes of its own.',
      file,
      field,
      config.shadow_model,
    ),
    { file, field },
  );
}

export const shadowFields: Readonly<Record<string, FieldInfo>> = {
  ...tunerFieldInfo,
  r: { default: 8, meaning: t("Rank of the bottleneck between the decoder's state and a block.") },
  shadow_alpha: { default: 0.1, meaning: t("Strength of what is added to a block's input.") },
  shadow_dropout: { default: 0.2, meaning: t("Dropout in training; no effect on answers.") },
  init_weights: { default: true, meaning: t("Training starts without an effect.") },
  shadow_model: {
    default: "mirror",
    meaning: t("The decoder beside the base: a smaller copy of it, or a model by its name."),
  },
  shadow_num_hidden_layers: {
    default: null,
    meaning: t("Layers of the mirrored decoder; 1 if null."),
  },
  shadow_hidden_size: { default: null, meaning: t("Its hidden size; the base's if null.") },
  shadow_num_attention_heads: {
    default: null,
    meaning: t("Its heads; the base's number if null."),
  },
  shadow_intermediate_size: { default: null, meaning: t("Its MLP's size; the base's if null.") },
  share_embeddings: { default: true, meaning: t("It reads the base's embedding.") },
  update_hidden_size: { default: null, meaning: t("Width of the networks that update the state.") },
  auxiliary_loss_weight: {
    default: 0.05,
    meaning: t("Weight of the decoder's own loss in training."),
  },
};
