import { t } from "@vscode/l10n";
import type { FieldInfo } from "./method.ts";

/** Every field of PEFT 0.21's PsoftConfig: what it means and its default. */
export const psoftFieldInfo: Readonly<Record<string, FieldInfo>> = {
  r: { default: 32, meaning: t("Rank: how many singular directions of the weight are turned.") },
  psoft_alpha: { default: 32, meaning: t("Strength: the update is scaled by alpha / r.") },
  psoft_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
  fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
  ab_svd_init: { default: "psoft_init", meaning: t("Which factor carries the singular values.") },
  psoft_svd: { default: "full", meaning: t("How the singular directions are found.") },
  psoft_svd_lowrank_niter: { default: 10, meaning: t("Steps of the randomised method.") },
  random_seed: { default: 0, meaning: t("Seed of the randomised method.") },
  psoft_orth: { default: true, meaning: t("The directions are only rotated, not mixed freely.") },
  psoft_mag_b: {
    default: true,
    meaning: t("A trained factor for each direction, after the turn."),
  },
  psoft_mag_a: {
    default: true,
    meaning: t("A trained factor for each direction, before the turn."),
  },
  use_cayley_neumann: { default: false, meaning: t("Rotations by a series instead of exactly.") },
  num_cayley_neumann_terms: { default: 5, meaning: t("Terms of that series.") },
  cayley_neumann_eps: { default: null, meaning: t("Bound of what the series is applied to.") },
  init_weights: { default: true, meaning: t("Whether training began at the base.") },
};
