/**
 * PEFT's default targets by `model_type`, for configs that name none (PEFT 0.21, utils/constants.py).
 * Families without a line have no default: PEFT then asks for target_modules.
 */
export type DefaultTargets = string | readonly string[] | null;

const attention = ["q_proj", "v_proj"];
const fused = ["query_key_value"];

type Targets = Readonly<Record<string, Exclude<DefaultTargets, null>>>;

const lora: Targets = {
  t5: ["q", "v"],
  mt5: ["q", "v"],
  bart: attention,
  gpt2: ["c_attn"],
  bloom: fused,
  "blip-2": ["q", "v", "q_proj", "v_proj"],
  opt: attention,
  gptj: attention,
  gpt_neox: fused,
  gpt_neo: attention,
  bert: ["query", "value"],
  roberta: ["query", "value"],
  "xlm-roberta": ["query", "value"],
  electra: ["query", "value"],
  "deberta-v2": ["query_proj", "value_proj"],
  deberta: ["in_proj"],
  layoutlm: ["query", "value"],
  llama: attention,
  llama4: attention,
  chatglm: fused,
  gpt_bigcode: ["c_attn"],
  mpt: ["Wqkv"],
  RefinedWebModel: fused,
  RefinedWeb: fused,
  falcon: fused,
  btlm: ["c_proj", "c_attn"],
  codegen: ["qkv_proj"],
  mistral: attention,
  mixtral: attention,
  stablelm: attention,
  phi: ["q_proj", "v_proj", "fc1", "fc2"],
  gemma: attention,
  gemma2: attention,
  gemma3_text: attention,
  gemma4: String.raw`.*language_model\..*\.(q_proj|v_proj)`,
  qwen2: attention,
  qwen3: attention,
  nemotron_h: ["q_proj", "k_proj", "v_proj", "o_proj"],
  rwkv: ["key", "value", "receptance", "output"],
  rwkv7: ["r_proj", "k_proj", "v_proj", "o_proj", "key", "value"],
};

/** LoRA's defaults, which most methods share. */
export function loraTargets(modelType: string): DefaultTargets {
  return lora[modelType] ?? null;
}

const bartLike = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"];

const vbLora: Targets = {
  t5: ["q", "k", "v", "o", "wi", "wo"],
  mt5: ["q", "k", "v", "o", "wi_0", "wi_1", "wo"],
  bart: bartLike,
  gpt2: ["c_attn"],
  bloom: fused,
  opt: bartLike,
  gptj: attention,
  gpt_neox: fused,
  gpt_neo: attention,
  llama: attention,
  llama4: attention,
  bert: ["query", "value"],
  roberta: ["query", "value"],
  "deberta-v2": ["query_proj", "key_proj", "value_proj", "dense"],
  gpt_bigcode: ["c_attn"],
  deberta: ["in_proj"],
  gemma: attention,
  gemma2: attention,
  gemma3_text: attention,
  gemma4: String.raw`.*language_model\..*\.(q_proj|v_proj)`,
  qwen2: attention,
  qwen3: attention,
  nemotron_h: ["q_proj", "k_proj", "v_proj", "o_proj"],
};

export function vbLoraTargets(modelType: string): DefaultTargets {
  return vbLora[modelType] ?? null;
}

/** AdaLoRA's, which are VB-LoRA's but for one family. */
export function adaLoraTargets(modelType: string): DefaultTargets {
  return modelType === "roberta" ? ["query", "key", "value", "dense"] : vbLoraTargets(modelType);
}
