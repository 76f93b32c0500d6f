/**
 * VeRA (https://arxiv.org/abs/2310.11454; PEFT tuners/vera): ΔW = diag(λb) B diag(λd) A, where A and
 * B are random and shared by all modules and only the two vectors are trained. Run time: the
 * low-rank path with the vectors folded into the factors. A and B are stored or made from a seed.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import type { Shape } from "../base/shape.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { FieldInfo } from "./method.ts";
import { projectionWarnings, scaledProjection, sharedProjection } from "./sharedProjection.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import { tunerMethod } from "./tuner/tuner.ts";

/** Fields that VeRA and PVeRA share. */
export const projectionFields = {
  ...tunerFields,
  r: wholeNumber.default(256),
  projection_prng_key: z.int(t("It must be a whole number.")).default(0),
  save_projection: z.boolean().default(true),
};

export const projectionFieldInfo: Readonly<Record<string, FieldInfo>> = {
  r: { default: 256, meaning: t("Rank of the shared random matrices.") },
  projection_prng_key: { default: 0, meaning: t("Seed of the shared random matrices.") },
  save_projection: { default: true, meaning: t("The shared random matrices are stored.") },
  d_initial: { default: 0.1, meaning: t("Value of λd before training.") },
  fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
  bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  init_weights: { default: true, meaning: t("Training starts from the default vectors.") },
};

const schema = z.looseObject({
  ...projectionFields,
  bias: z
    .enum(["none", "all", "vera_only"], t("It must be none, all or vera_only."))
    .default("none"),
});

export type VeraConfig = z.infer<typeof schema>;

const [a, b] = ["vera_A", "vera_B"];

export const vera = tunerMethod<VeraConfig>({
  peftType: "VERA",
  schema,
  fields: {
    ...projectionFieldInfo,
    vera_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
  },
  defaultTargets: veraTargets,
  suffixes: ["vera_lambda_b", "vera_lambda_d"],
  shared: [a, b],
  frozen: [a, b],
  kinds: ["linear"],
  rank: ({ r }) => r,
  shapes: (module, { r }): Record<string, Shape> => ({
    vera_lambda_b: [module.out],
    vera_lambda_d: [r],
  }),
  linear: (module, tensors, context) => {
    const projection = sharedProjection(context, { a, b }, context.config.r);
    const lambdaB = tensors.values("vera_lambda_b");
    const lambdaD = tensors.values("vera_lambda_d");
    return scaledProjection(module, projection, { lambdaB, lambdaD });
  },
  warnings: projectionWarnings,
});

/** LoRA's defaults, but not the MLP of phi. */
export function veraTargets(modelType: string): ReturnType<typeof loraTargets> {
  return modelType === "phi" ? ["q_proj", "v_proj"] : loraTargets(modelType);
}
