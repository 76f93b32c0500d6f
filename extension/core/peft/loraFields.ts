import { t } from "@vscode/l10n";
import type { FieldInfo } from "./method.ts";

/** Every field of PEFT 0.21's LoraConfig: what it means and its default. */
export const loraFieldInfo: Readonly<Record<string, FieldInfo>> = {
  r: { default: 8, meaning: t("Rank: how many directions each module's update has.") },
  lora_alpha: { default: 8, meaning: t("Strength: the update is scaled by alpha / r.") },
  lora_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
  fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
  bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  use_rslora: {
    default: false,
    meaning: t("Rank-stabilised: the update is scaled by alpha / √r."),
  },
  init_lora_weights: {
    default: true,
    meaning: t("How the factors were initialised before training."),
  },
  rank_pattern: { default: {}, meaning: t("Ranks of single modules; the first match counts.") },
  alpha_pattern: { default: {}, meaning: t("Alphas of single modules; the first match counts.") },
  megatron_config: { default: null, meaning: t("Megatron's parallel layers, in training.") },
  megatron_core: { default: "megatron.core", meaning: t("Megatron's module, in training.") },
  trainable_token_indices: { default: null, meaning: t("Tokens whose embeddings were trained.") },
  loftq_config: {
    default: {},
    meaning: t("LoftQ: quantization that the initialisation made up for."),
  },
  eva_config: { default: null, meaning: t("EVA: initialisation from activations.") },
  corda_config: { default: null, meaning: t("CorDA: initialisation from covariances.") },
  lora_ga_config: { default: null, meaning: t("LoRA-GA: initialisation from gradients.") },
  use_dora: {
    default: false,
    meaning: t("DoRA: direction and magnitude of weights are trained apart."),
  },
  velora_config: { default: null, meaning: t("VeLoRA: compressed activations in training.") },
  monteclora_config: { default: null, meaning: t("MonteCLoRA: sampled factors in training.") },
  alora_invocation_tokens: { default: null, meaning: t("aLoRA: active from these tokens on.") },
  use_qalora: { default: false, meaning: t("QALoRA: grouped input for quantized bases.") },
  qalora_group_size: { default: 16, meaning: t("QALoRA: size of the groups.") },
  layer_replication: { default: null, meaning: t("Layers of the base that are repeated.") },
  lora_bias: { default: false, meaning: t("The update has a bias.") },
  target_parameters: {
    default: null,
    meaning: t("Parameters (not modules) that carry an update."),
  },
  use_bdlora: { default: null, meaning: t("Block-diagonal factors.") },
  arrow_config: { default: null, meaning: t("Arrow: routing between several adapters.") },
  kasa_config: { default: null, meaning: t("KaSA: singular values of the base are replaced.") },
  ensure_weight_tying: { default: false, meaning: t("Tied embeddings stay tied.") },
  runtime_config: {
    default: { ephemeral_gpu_offload: false },
    meaning: t("Options of a running model; not stored knowledge."),
  },
};
