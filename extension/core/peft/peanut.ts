/**
 * PEANuT (https://arxiv.org/abs/2410.01870; PEFT tuners/peanut): a small network reads the base's
 * weight and gives its update,
 *
 *     H₀ = f(Wᵀ Aᵀ)   Hᵢ = f(Hᵢ₋₁ Eᵢᵀ)   then back through the decoders with residuals   Δ = s B Hᵀ
 *
 * where H is [in, r]: the update has rank r. Run time: the low-rank path with Hᵀ as its first factor.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { activations, type ActivationName } from "../base/activations.ts";
import { multiply } from "../base/matrix.ts";
import type { Shape } from "../base/shape.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const names = Object.keys(activations) as [ActivationName, ...ActivationName[]];

const schema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(32),
  depth: z.int().nonnegative(t("It must be at least 0.")).default(0),
  act_fn: z.enum(names, t("It must be one of {0}.", names.join(", "))).default("relu"),
  scaling: z.number().default(1),
});

export type PeanutConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  r: { default: 32, meaning: t("Rank: width of the network and of its update.") },
  depth: { default: 0, meaning: t("Hidden layers on each side of the network.") },
  act_fn: { default: "relu", meaning: t("Activation of the network.") },
  scaling: { default: 1, meaning: t("Factor on the update.") },
  init_weights: { default: true, meaning: t("The update was zero before training.") },
};

export const peanut = tunerMethod<PeanutConfig>({
  peftType: "PEANUT",
  schema,
  fields,
  defaultTargets: loraTargets,
  suffixes: ["peanut_A.weight", "peanut_B.weight"],
  suffixPattern: /\.peanut_(encoders|decoders)\.\d+\.weight$/,
  kinds: ["linear"],
  rank: (config) => config.r,
  scale: ({ r, scaling }) => ({ rank: r, alpha: null, scaling }),
  shapes,
  linear: linearEffect,
});

function shapes(module: ModuleInfo, { r, depth }: PeanutConfig): Record<string, Shape> {
  const found: Record<string, Shape> = {
    // The network reads columns of W: both sides are as wide as the output.
    "peanut_A.weight": [r, module.out],
    "peanut_B.weight": [module.out, r],
  };
  for (let i = 0; i < depth; i++) {
    found[`peanut_encoders.${i}.weight`] = [r, r];
    found[`peanut_decoders.${i}.weight`] = [r, r];
  }
  return found;
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<PeanutConfig>,
): Promise<LinearEffect> {
  const { r, depth, act_fn: name, scaling } = context.config;
  const activation = activations[name];
  // Everything is kept as [r, in]: the first factor of the update.
  const layer = (input: ArrayLike<number>, suffix: string, inner: number): Float64Array =>
    multiply(tensors.values(suffix), input, { rows: r, inner, columns: module.in }).map(activation);
  let hidden = layer(await context.weight(module), "peanut_A.weight", module.out);
  const residuals: Float64Array[] = [];
  for (let i = 0; i < depth; i++) {
    residuals.push(hidden);
    hidden = layer(hidden, `peanut_encoders.${i}.weight`, r);
  }
  for (let i = 0; i < depth; i++) {
    const residual = residuals[depth - 1 - i] as Float64Array;
    hidden = layer(hidden, `peanut_decoders.${i}.weight`, r).map(
      (value, at) => value + (residual[at] as number),
    );
  }
  return {
    lowRank: {
      a: Float32Array.from(hidden),
      b: tensors.values("peanut_B.weight").map((value) => value * scaling),
      rank: r,
    },
  };
}
