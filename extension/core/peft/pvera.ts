/**
 * PVeRA (https://arxiv.org/abs/2512.07703; PEFT tuners/pvera): VeRA whose low-rank activation is drawn from a normal distribution in
 * training. A [2r, in] and λd [2r] give its mean in their first half and its variance in the second;
 * answers take the mean, so the update is VeRA's with the first halves.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { unsupported } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import { projectionWarnings, scaledProjection, sharedProjection } from "./sharedProjection.ts";
import { tunerMethod } from "./tuner/tuner.ts";
import { projectionFieldInfo, projectionFields, veraTargets } from "./vera.ts";

const schema = z.looseObject({
  ...projectionFields,
  bias: z
    .enum(["none", "all", "pvera_only"], t("It must be none, all or pvera_only."))
    .default("none"),
  sample_at_inference: z.boolean().default(false),
});

export type PveraConfig = z.infer<typeof schema>;

const [a, b] = ["pvera_A", "pvera_B"];

export const pvera = tunerMethod<PveraConfig>({
  peftType: "PVERA",
  schema,
  fields: {
    ...projectionFieldInfo,
    pvera_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
    sample_at_inference: { default: false, meaning: t("Answers are drawn at random, too.") },
    generator_seed: { default: null, meaning: t("Seed of what is drawn at random.") },
  },
  defaultTargets: (modelType) =>
    modelType === "dinov2" ? ["query", "value"] : veraTargets(modelType),
  check: ({ sample_at_inference: samples }, { file }) => {
    if (!samples) return;
    throw unsupported(
      t("{0}: Graft does not run PVeRA with sample_at_inference", file),
      t("Its answers are random; without it they are those of the mean."),
    );
  },
  suffixes: ["pvera_lambda_b", "pvera_lambda_d"],
  shared: [a, b],
  frozen: [a, b],
  kinds: ["linear"],
  rank: ({ r }) => r,
  shapes: (module, { r }): Record<string, Shape> => ({
    pvera_lambda_b: [module.out],
    pvera_lambda_d: [2 * r],
  }),
  linear: (module, tensors, context) => {
    const projection = sharedProjection(context, { a, b }, 2 * context.config.r);
    const lambdaB = tensors.values("pvera_lambda_b");
    const lambdaD = tensors.values("pvera_lambda_d");
    return scaledProjection(module, projection, { lambdaB, lambdaD });
  },
  warnings: projectionWarnings,
});
