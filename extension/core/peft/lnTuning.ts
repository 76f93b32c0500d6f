/**
 * LN tuning (https://arxiv.org/abs/2312.11420; PEFT tuners/ln_tuning): the trained copy of a layer
 * takes the layer's place, so the file holds whole weights, not differences. Norms have slots for
 * weight and bias; PEFT also takes linear layers and embeddings (llava's defaults do), which become
 * dense differences.
 */
import { z } from "zod";
import type { Shape } from "../base/shape.ts";
import { tunerFields } from "./tuner/config.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { LinearEffect } from "./effect.ts";

const weight = "ln_tuning_layers.weight";
const bias = "ln_tuning_layers.bias";

const schema = z.looseObject(tunerFields);

type LnTuningConfig = z.infer<typeof schema>;

const decoderNorms = ["input_layernorm", "post_attention_layernorm", "norm"];
const gemmaNorms = [
  "input_layernorm",
  "post_attention_layernorm",
  "pre_feedforward_layernorm",
  "post_feedforward_layernorm",
  "norm",
];

/** Default targets by `model_type` (PEFT utils/constants.py). */
const families: Readonly<Record<string, readonly string[]>> = {
  llama: decoderNorms,
  bloom: ["input_layernorm", "post_attention_layernorm", "ln_f"],
  llava: ["multi_modal_projector", ...decoderNorms, "embed_tokens", "lm_head"],
  t5: ["layer_norm", "final_layer_norm"],
  mt5: ["layer_norm", "final_layer_norm"],
  bart: ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"],
  gpt2: ["ln_1", "ln_2", "ln_f"],
  "blip-2": ["layernorm", "LayerNorm", "final_layer_norm", "self_attn_layer_norm"],
  gptj: ["ln_1", "ln_f"],
  falcon: ["input_layernorm", "post_attention_layernorm", "ln_f"],
  mistral: decoderNorms,
  phi: ["input_layernorm", "final_layernorm"],
  gemma: decoderNorms,
  gemma2: gemmaNorms,
  gemma3_text: gemmaNorms,
  qwen2: ["post_attention_layernorm"],
  qwen3: ["post_attention_layernorm"],
};

export const lnTuning = tunerMethod<LnTuningConfig>({
  peftType: "LN_TUNING",
  schema,
  fields: {},
  defaultTargets: (modelType) => families[modelType] ?? null,
  suffixes: [weight, bias],
  kinds: ["norm", "linear", "embedding"],
  rank: () => null,
  shapes: (module): Record<string, Shape> => {
    const biases: Record<string, Shape> =
      module.kind !== "embedding" && module.hasBias ? { [bias]: [module.out] } : {};
    if (module.kind === "norm") return { [weight]: [module.out], ...biases };
    if (module.kind === "embedding") return { [weight]: [module.in, module.out] };
    return { [weight]: [module.out, module.in], ...biases };
  },
  norm: (_module, tensors) => ({
    weight: tensors.values(weight),
    bias: tensors.has(bias) ? tensors.values(bias) : undefined,
  }),
  linear: replaceLinear,
  embedding: async (module, tensors, context) => {
    const delta = minus(tensors.values(weight), await context.weight(module));
    return { rowDelta: (id) => delta.subarray(id * module.out, (id + 1) * module.out) };
  },
});

async function replaceLinear(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<LnTuningConfig>,
): Promise<LinearEffect> {
  const delta = minus(tensors.values(weight), await context.weight(module));
  const old = await context.bias(module);
  return { delta, ...(old && { shift: minus(tensors.values(bias), old) }) };
}

function minus(x: Float32Array, y: Float32Array): Float32Array {
  return x.map((value, i) => value - (y[i] as number));
}
