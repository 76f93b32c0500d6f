/**
 * DEFT, decompositional fine-tuning (PEFT tuners/deft): a subspace of the outputs is taken from the
 * weight and written anew: W' = W − Q Pᵣᵀ W + Q R s. With "relu" Q is the trained P and Pᵣ its
 * positive part, with "qr" both are P's orthonormal basis; s is alpha / r, 1 without alpha; "para"
 * only takes away. ΔW = Q (s R − Pᵣᵀ W) has rank r: the low-rank path.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { multiply, transposed } from "../base/matrix.ts";
import { householderBasis } from "../base/householder.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const deftSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(8),
  decomposition_method: z.enum(["relu", "qr"], t("It must be relu or qr.")).default("relu"),
  alpha: z
    .number(t("It must be a number."))
    .nullish()
    .transform((value) => value ?? null),
  para: z.boolean().default(false),
});

export type DeftConfig = z.infer<typeof deftSchema>;

export const deft = tunerMethod<DeftConfig>({
  peftType: "DEFT",
  schema: deftSchema,
  fields: {
    r: { default: 8, meaning: t("Rank: how many directions are taken away and written anew.") },
    decomposition_method: {
      default: "relu",
      meaning: t("How the subspace follows from P: its positive part, or an orthonormal basis."),
    },
    alpha: { default: null, meaning: t("Strength of what is written: scaled by alpha / r.") },
    para: { default: false, meaning: t("PaRa: the subspace is only taken away.") },
    init_scale: { default: 1, meaning: t("Scale of the random initialisation of R.") },
    deft_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
    fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
    init_weights: { default: true, meaning: t("Whether training began at the base.") },
    bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  },
  defaultTargets: loraTargets,
  suffixes: ["deft_P", "deft_R"],
  kinds: ["linear"],
  rank: ({ r }) => r,
  shapes: (module, config) => {
    const r = rankOf(module, config);
    return {
      deft_P: [module.out, r],
      ...(!config.para && { deft_R: [r, module.kind === "linear" ? module.in : 0] }),
    };
  },
  linear: linearEffect,
});

/** PEFT caps the rank at the number of outputs. */
export function rankOf(module: ModuleInfo, { r }: DeftConfig): number {
  return Math.min(r, module.out);
}

/** An alpha of 0 counts as none (deft/layer.py). */
export function scalingOf({ alpha }: DeftConfig, rank: number): number {
  return alpha ? alpha / rank : 1;
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<DeftConfig>,
): Promise<LinearEffect> {
  const { config } = context;
  const rank = rankOf(module, config);
  const p = tensors.values("deft_P");
  const isOrthogonal = config.decomposition_method === "qr";
  const q = isOrthogonal ? householderBasis(p, module.out, rank) : p;
  const right = isOrthogonal ? q : p.map((value) => Math.max(value, 0));
  const taken = multiply(transposed(right, module.out, rank), await context.weight(module), {
    rows: rank,
    inner: module.out,
    columns: module.in,
  });
  const scaling = scalingOf(config, rank);
  const written = config.para ? null : tensors.values("deft_R");
  const a = Float32Array.from(taken, (value, i) => scaling * (written?.[i] ?? 0) - value);
  return { lowRank: { a, b: Float32Array.from(q), rank } };
}
