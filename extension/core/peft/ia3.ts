/**
 * IA³ (https://arxiv.org/abs/2205.05638; PEFT tuners/ia3): a vector l scales what a layer gives,
 * l ⊙ (W x + b), or, in feed-forward modules, what it takes, W (l ⊙ x) + b. Both are scale slots.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import { fullMatch } from "../checkpoint/targets.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields } from "./tuner/config.ts";
import { tunerMethod } from "./tuner/tuner.ts";

const schema = z.looseObject({
  ...tunerFields,
  feedforward_modules: z
    .union([z.string(), z.array(z.string())], t("It must be a string or a list of strings."))
    .nullish()
    .transform((value) => value ?? null),
});

export type Ia3Config = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  feedforward_modules: {
    default: null,
    meaning: t("Targets whose input is scaled instead of their output: names or a regex."),
  },
  fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
  init_ia3_weights: { default: true, meaning: t("Training starts with vectors of ones.") },
};

/** Default targets by `model_type`: whose output, whose input is scaled (PEFT utils/constants.py). */
const families: Readonly<Record<string, { outputs: string[]; inputs: string[] }>> = {
  t5: { outputs: ["k", "v"], inputs: ["wo"] },
  mt5: { outputs: ["k", "v", "wi_1"], inputs: [] },
  gpt2: { outputs: ["c_attn"], inputs: ["mlp.c_proj"] },
  bloom: { outputs: ["query_key_value"], inputs: ["mlp.dense_4h_to_h"] },
  roberta: { outputs: ["key", "value"], inputs: ["output.dense"] },
  opt: { outputs: ["q_proj", "k_proj"], inputs: ["fc2"] },
  gptj: { outputs: ["q_proj", "v_proj"], inputs: ["fc_out"] },
  gpt_neox: { outputs: ["query_key_value"], inputs: ["dense_4h_to_h"] },
  gpt_neo: { outputs: ["q_proj", "v_proj"], inputs: ["c_proj"] },
  bart: { outputs: ["q_proj", "v_proj"], inputs: ["fc2"] },
  gpt_bigcode: { outputs: ["c_attn"], inputs: ["mlp.c_proj"] },
  llama: { outputs: ["k_proj", "v_proj"], inputs: ["down_proj"] },
  llama4: { outputs: ["q_proj", "v_proj", "down_proj"], inputs: [] },
  mistral: { outputs: ["k_proj", "v_proj"], inputs: ["down_proj"] },
  mixtral: { outputs: ["k_proj", "v_proj"], inputs: ["w2"] },
  bert: { outputs: ["key", "value"], inputs: ["output.dense"] },
  "deberta-v2": { outputs: ["key_proj", "value_proj"], inputs: ["output.dense"] },
  deberta: { outputs: ["in_proj"], inputs: ["output.dense"] },
  RefinedWebModel: { outputs: ["query_key_value"], inputs: ["dense_4h_to_h"] },
  RefinedWeb: { outputs: ["query_key_value"], inputs: ["dense_4h_to_h"] },
  falcon: { outputs: ["query_key_value"], inputs: ["dense_4h_to_h"] },
  phi: { outputs: ["q_proj", "v_proj"], inputs: ["fc2"] },
  gemma: { outputs: ["q_proj", "v_proj"], inputs: ["down_proj"] },
  gemma2: { outputs: ["q_proj", "v_proj"], inputs: ["down_proj"] },
  gemma3_text: { outputs: ["q_proj", "v_proj"], inputs: ["down_proj"] },
  qwen2: { outputs: ["q_proj", "v_proj"], inputs: ["down_proj"] },
  qwen3: { outputs: ["q_proj", "v_proj"], inputs: ["down_proj"] },
};

/** PEFT has targets but no feed-forward modules for this family. */
const withoutInputs = ["llama4"];

export const ia3 = tunerMethod<Ia3Config>({
  peftType: "IA3",
  schema,
  fields,
  defaultTargets: (modelType) => {
    const family = families[modelType];
    return family ? [...family.outputs, ...family.inputs] : null;
  },
  prepare: (config, { modelType }, file) => {
    if (config.feedforward_modules !== null) return config;
    const inputs = withoutInputs.includes(modelType) ? undefined : families[modelType]?.inputs;
    if (!inputs) {
      throw badField(file, t("is missing, and PEFT has no default for {0} models", modelType));
    }
    return { ...config, feedforward_modules: inputs };
  },
  check: ({ target_modules: targets, feedforward_modules: inputs }, { file }) => {
    if (!Array.isArray(targets) || !Array.isArray(inputs)) return;
    const missing = inputs.filter((name) => !targets.includes(name));
    if (missing.length > 0) {
      throw badField(file, t("names {0}, which target_modules does not", missing.join(", ")));
    }
  },
  suffixes: ["ia3_l"],
  kinds: ["linear"],
  rank: () => null,
  shapes: (module, config, file): Record<string, Shape> => ({
    ia3_l:
      module.kind === "linear" && scalesInput(module, config, file)
        ? [1, module.in]
        : [module.out, 1],
  }),
  linear: (module, tensors, { config, file }) => {
    const scale = tensors.values("ia3_l");
    return scalesInput(module, config, file) ? { inputScale: scale } : { outputScale: scale };
  },
});

/** Names match as plain endings: "proj" also means q_proj. */
export function scalesInput(
  { path }: ModuleInfo,
  { feedforward_modules: inputs }: Ia3Config,
  file: string,
): boolean {
  return typeof inputs === "string"
    ? fullMatch(inputs, "feedforward_modules", file).test(path)
    : (inputs ?? []).some((name) => path.endsWith(name));
}

function badField(file: string, problem: string): GraftError {
  const field = "feedforward_modules";
  return new GraftError("bad-file", t('{0}: field "{1}" {2}.', file, field, problem), {
    file,
    field,
  });
}
