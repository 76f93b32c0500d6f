import { t } from "@vscode/l10n";
import type { FieldInfo } from "./method.ts";

/** Every field of PEFT 0.21's OFTConfig: what it means and its default. */
export const oftFieldInfo: Readonly<Record<string, FieldInfo>> = {
  r: { default: 0, meaning: t("Number of blocks; 0 derives it from the block size.") },
  oft_block_size: { default: 32, meaning: t("Size of a block; 0 derives it from their number.") },
  module_dropout: { default: 0, meaning: t("Blocks left out in training; no effect on answers.") },
  fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
  bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  init_weights: { default: true, meaning: t("Whether training began at the base.") },
  coft: { default: false, meaning: t("Constrained: rotations stay near the identity.") },
  eps: { default: 6e-5, meaning: t("How near, with coft.") },
  block_share: { default: false, meaning: t("One rotation for all blocks of a module.") },
  use_cayley_neumann: { default: true, meaning: t("Rotations by a series instead of exactly.") },
  num_cayley_neumann_terms: { default: 5, meaning: t("Terms of that series.") },
};
