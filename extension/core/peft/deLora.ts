/**
 * DeLoRA, decoupled LoRA (https://arxiv.org/abs/2503.18225; PEFT tuners/delora): both factors'
 * directions are normalized and their strength is bounded by λ:
 * ΔW = B diag(λ / (r ‖A_i‖ ‖B_i‖)) A ⊙ w_norm, with w_norm [in] the column norms of the weight as it
 * was in training. Scaling columns keeps the rank: the low-rank path.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import { type LinearEffect, scaleColumns } from "./effect.ts";
import { rankOf, tunerFields, wholeNumber } from "./tuner/config.ts";
import { numberPattern } from "./tuner/patterns.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const deLoraSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(8),
  rank_pattern: numberPattern,
});

export type DeLoraConfig = z.infer<typeof deLoraSchema>;

export const deLora = tunerMethod<DeLoraConfig>({
  peftType: "DELORA",
  schema: deLoraSchema,
  fields: {
    r: { default: 8, meaning: t("Rank: how many directions each module's update has.") },
    delora_lambda: {
      default: 15,
      meaning: t("Bound of the update at the start; then it is trained."),
    },
    rank_pattern: { default: {}, meaning: t("Ranks of single modules; the first match counts.") },
    lambda_pattern: { default: {}, meaning: t("Bounds of single modules at the start.") },
    module_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
    init_weights: { default: true, meaning: t("Whether training began at the base.") },
    bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  },
  defaultTargets: loraTargets,
  suffixes: ["delora_A", "delora_B", "delora_lambda", "delora_w_norm"],
  frozen: ["delora_w_norm"],
  kinds: ["linear"],
  rank: ({ r }) => r,
  scale: (config, path, file) => ({ rank: rankOf(path, config, file), alpha: null, scaling: null }),
  shapes: (module, config, file) => {
    const r = rankOf(module.path, config, file);
    const inputs = module.kind === "linear" ? module.in : 0;
    return { delora_A: [r, inputs], delora_B: [module.out, r], delora_lambda: [1] };
  },
  linear: linearEffect,
});

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<DeLoraConfig>,
): Promise<LinearEffect> {
  const rank = rankOf(module.path, context.config, context.file);
  const [a, b] = [tensors.values("delora_A"), tensors.values("delora_B")];
  const lambda = tensors.values("delora_lambda")[0] as number;
  const scaling = Float64Array.from({ length: rank }, (_, i) => {
    const row = norm(a, { start: i * module.in, step: 1, count: module.in });
    const column = norm(b, { start: i, step: rank, count: module.out });
    return lambda / rank / (Math.max(row, 1e-4) * Math.max(column, 1e-4));
  });
  const columns = tensors.has("delora_w_norm")
    ? tensors.values("delora_w_norm")
    : await columnNorms(module, context);
  return {
    lowRank: {
      a: scaleColumns(a, columns, module.in),
      b: b.map((value, i) => value * (scaling[i % rank] as number)),
      rank,
    },
  };
}

/** What PEFT keeps when a file has no norms: those of the base at hand. */
async function columnNorms(
  module: LinearModule,
  context: TunerContext<DeLoraConfig>,
): Promise<Float32Array> {
  const weight = await context.weight(module);
  return Float32Array.from({ length: module.in }, (_, column) =>
    norm(weight, { start: column, step: module.in, count: module.out }),
  );
}

function norm(
  values: Float32Array,
  { start, step, count }: { start: number; step: number; count: number },
): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += (values[start + i * step] as number) ** 2;
  return Math.sqrt(sum);
}
