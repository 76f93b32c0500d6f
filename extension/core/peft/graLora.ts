/**
 * GraLoRA, granular LoRA (https://arxiv.org/abs/2505.20355; PEFT tuners/gralora): inputs and outputs
 * are cut into k parts. Input part n has r directions A_n; output part j takes r / k of each, rows
 * [j r/k, (j+1) r/k) of A_n, and mixes them with B_j. Scaled by alpha / (r + hybrid_r); a hybrid
 * part is plain LoRA beside it. As a low-rank path of rank k r + hybrid_r that is exact.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, misfit } from "../base/errors.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const graLoraSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(32),
  hybrid_r: z
    .int(t("It must be a whole number."))
    .nonnegative(t("It must not be negative."))
    .default(0),
  alpha: z.number(t("It must be a number.")).default(64),
  gralora_k: wholeNumber.default(2),
});

export type GraLoraConfig = z.infer<typeof graLoraSchema>;

const generalA = "gralora_A_general.weight";
const generalB = "gralora_B_general.weight";

export const graLora = tunerMethod<GraLoraConfig>({
  peftType: "GRALORA",
  schema: graLoraSchema,
  fields: {
    r: { default: 32, meaning: t("Rank of every part; a multiple of gralora_k.") },
    hybrid_r: { default: 0, meaning: t("Rank of a plain LoRA beside the parts.") },
    alpha: { default: 64, meaning: t("Strength: the update is scaled by alpha / (r + hybrid_r).") },
    gralora_k: { default: 2, meaning: t("Number of parts of the inputs and of the outputs.") },
    gralora_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
    fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
    init_weights: { default: true, meaning: t("Whether training began at the base.") },
    bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  },
  defaultTargets: loraTargets,
  check,
  suffixes: ["gralora_A", "gralora_B", generalA, generalB],
  kinds: ["linear"],
  rank: ({ r }) => r,
  scale: (config) => ({ rank: config.r, alpha: config.alpha, scaling: scalingOf(config) }),
  shapes: (module, { r, hybrid_r: hybrid, gralora_k: k }, file) => {
    const inputs = module.kind === "linear" ? module.in : 0;
    if (inputs % k !== 0 || module.out % k !== 0) {
      throw misfit(t("{0}: the sides of {1} cannot be cut into {2} parts.", file, module.path, k));
    }
    return {
      gralora_A: [k, inputs / k, r],
      gralora_B: [k, r, module.out / k],
      ...(hybrid > 0 && { [generalA]: [hybrid, inputs], [generalB]: [module.out, hybrid] }),
    };
  },
  linear: linearEffect,
});

function check({ r, gralora_k: k }: GraLoraConfig, { file }: AdapterConfig): void {
  if (r % k === 0) return;
  throw new GraftError(
    "bad-file",
    t('{0}: field "r" is {1}, no multiple of gralora_k {2}.', file, r, k),
    {
      file,
      field: "r",
    },
  );
}

export function scalingOf({ alpha, r, hybrid_r: hybrid }: GraLoraConfig): number {
  return alpha / (r + hybrid);
}

function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  { config }: TunerContext<GraLoraConfig>,
): LinearEffect {
  const { r, hybrid_r: hybrid, gralora_k: k } = config;
  const rank = k * r + hybrid;
  const scaling = scalingOf(config);
  const [storedA, storedB] = [tensors.values("gralora_A"), tensors.values("gralora_B")];
  const a = new Float32Array(rank * module.in);
  const b = new Float32Array(module.out * rank);
  const [inputs, outputs, share] = [module.in / k, module.out / k, r / k];
  for (let part = 0; part < k; part++) {
    for (let own = 0; own < r; own++) {
      // Direction `own` of input part `part` serves output part `to`, there as number `mixed`.
      const to = Math.floor(own / share);
      const mixed = part * share + (own % share);
      const at = part * r + own;
      for (let i = 0; i < inputs; i++) {
        a[at * module.in + part * inputs + i] = storedA[(part * inputs + i) * r + own] as number;
      }
      for (let o = 0; o < outputs; o++) {
        const value = storedB[(to * r + mixed) * outputs + o] as number;
        b[(to * outputs + o) * rank + at] = scaling * value;
      }
    }
  }
  if (hybrid > 0) {
    a.set(tensors.values(generalA), k * r * module.in);
    tensors.values(generalB).forEach((value, i) => {
      b[Math.floor(i / hybrid) * rank + k * r + (i % hybrid)] = scaling * value;
    });
  }
  return { lowRank: { a, b, rank } };
}
