import type { JsonObject } from "./base/json.ts";
import type { BaseModel } from "./baseModel.ts";
import type { CausalModel } from "./models/causalModel.ts";

/**
 * genai_config.json, by which ONNX Runtime GenAI runs an exported decoder: sizes, names of inputs and
 * outputs, tokens, and how it is sampled by default.
 */
export function genaiConfig(
  { checkpoint, stopTokens }: Pick<BaseModel, "checkpoint" | "stopTokens">,
  model: CausalModel,
  { file, generation }: { file: string; generation: JsonObject },
): JsonObject {
  const { raw, modelType } = checkpoint.config;
  const ends = [...stopTokens];
  const end = ends.length === 1 ? ends[0] : ends;
  const { contextLength } = model;
  const heads = model.keyValueHeads * model.queriesPerKey;
  const sampled = generation["do_sample"] === true;
  return {
    model: {
      type: modelType,
      bos_token_id: numberOf(raw["bos_token_id"]),
      eos_token_id: end ?? null,
      pad_token_id: numberOf(raw["pad_token_id"]) ?? ends[0] ?? 0,
      vocab_size: model.vocabulary,
      context_length: contextLength,
      decoder: {
        session_options: { log_id: "onnxruntime-genai", provider_options: [] },
        filename: file,
        head_size: model.headDim,
        hidden_size: numberOf(raw["hidden_size"]) ?? heads * model.headDim,
        num_attention_heads: heads,
        num_hidden_layers: model.layers,
        num_key_value_heads: model.keyValueHeads,
        inputs: {
          input_ids: "input_ids",
          attention_mask: "attention_mask",
          position_ids: "position_ids",
          past_key_names: "past_key_values.%d.key",
          past_value_names: "past_key_values.%d.value",
        },
        outputs: {
          logits: "logits",
          present_key_names: "present.%d.key",
          present_value_names: "present.%d.value",
        },
      },
    },
    search: {
      do_sample: sampled,
      temperature: numberOf(generation["temperature"]) ?? 1,
      top_k: numberOf(generation["top_k"]) ?? 50,
      top_p: numberOf(generation["top_p"]) ?? 1,
      repetition_penalty: numberOf(generation["repetition_penalty"]) ?? 1,
      num_beams: 1,
      num_return_sequences: 1,
      min_length: 0,
      max_length: contextLength,
      early_stopping: true,
      length_penalty: 1,
      no_repeat_ngram_size: 0,
      diversity_penalty: 0,
      past_present_share_buffer: false,
    },
  };
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}
