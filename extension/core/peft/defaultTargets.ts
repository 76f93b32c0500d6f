/**
 * PEFT's default targets by `model_type`, for configs that name none (PEFT 0.21, utils/constants.py).
 * Families without a line have no default: PEFT then asks for target_modules.
 */
const attention = ["q_proj", "v_proj"];

const lora: Readonly<Record<string, readonly string[]>> = {
  llama: attention,
  mistral: attention,
  qwen2: attention,
  qwen3: attention,
};

/** LoRA's defaults, which most methods share. */
export function loraTargets(modelType: string): readonly string[] | null {
  return lora[modelType] ?? null;
}
