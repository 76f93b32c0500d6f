import type { FieldInfo } from "./method.ts";

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
