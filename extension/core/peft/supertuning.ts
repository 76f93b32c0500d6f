/**
 * Super-Tuning (https://arxiv.org/abs/2607.09287; PEFT tuners/supertuning): W' = W + Δ where Δ is
 * zero but for the entries of largest (or smallest) magnitude of W; "Supra" adds a LoRA of
 * alpha / r · B A. Positions may be left out of the file: then they are the first n of |W| in
 * descending (ascending) order. Run time: Δ dense, since its entries lie all over the matrix, and
 * the low-rank path.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

/** What the tensors of a module are called. */
export const names = {
  values: "supertuning_values",
  indices: "supertuning_indices",
  a: "supertuning_lora_A.weight",
  b: "supertuning_lora_B.weight",
} as const;
const { values, indices, a, b } = names;

const schema = z
  .looseObject({
    ...tunerFields,
    sparsity: z.number().min(0).lt(1, t("It must be in [0, 1).")).default(0.99),
    select_top: z.boolean().default(true),
    r: wholeNumber.nullish().transform((value) => value ?? null),
    lora_alpha: z
      .number()
      .nullish()
      .transform((value) => value ?? null),
    save_precomputed_indices: z.boolean().default(true),
  })
  .refine(({ r, lora_alpha: alpha }) => r !== null || alpha === null, {
    path: ["lora_alpha"],
    message: t("It needs a rank r beside it."),
  });

export type SupertuningConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  sparsity: { default: 0.99, meaning: t("Share of each weight's entries that stay as they are.") },
  select_top: { default: true, meaning: t("The largest entries were trained; else the smallest.") },
  r: { default: null, meaning: t("Rank of the LoRA beside the sparse update; none without it.") },
  lora_alpha: {
    default: null,
    meaning: t("Strength of that LoRA: alpha / r. 2 r where it is absent."),
  },
  lora_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
  init_weights: { default: true, meaning: t("The update was zero before training.") },
  save_precomputed_indices: { default: true, meaning: t("The file holds the entries' positions.") },
};

export const supertuning = tunerMethod<SupertuningConfig>({
  peftType: "SUPERTUNING",
  schema,
  fields,
  defaultTargets: loraTargets,
  suffixes: [values, indices, a, b],
  frozen: [indices],
  kinds: ["linear"],
  rank: (config) => config.r,
  scale: (config) => {
    const alpha = alphaOf(config);
    return { rank: config.r, alpha, scaling: config.r === null ? null : (alpha ?? 0) / config.r };
  },
  shapes,
  linear: linearEffect,
});

export function alphaOf({ r, lora_alpha: alpha }: SupertuningConfig): number | null {
  return alpha ?? (r === null ? null : 2 * r);
}

export function shapes(module: ModuleInfo, config: SupertuningConfig): Record<string, Shape> {
  if (module.kind !== "linear") return {};
  // The product as Python computes it: 1 - sparsity is rounded first.
  const count = Math.trunc(module.in * module.out * (1 - config.sparsity));
  const { r } = config;
  return {
    [values]: [count],
    ...(config.save_precomputed_indices && { [indices]: [count] }),
    ...(r !== null && { [a]: [r, module.in], [b]: [module.out, r] }),
  };
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<SupertuningConfig>,
): Promise<LinearEffect> {
  const { config } = context;
  const trained = tensors.values(values);
  // PEFT reads stored positions only where the config says that they are stored.
  const places = config.save_precomputed_indices
    ? tensors.integers(indices)
    : extremes(await context.weight(module), trained.length, config.select_top);
  const delta = new Float32Array(module.in * module.out);
  places.forEach((place, i) => {
    if (place < 0 || place >= delta.length) {
      throw badFile(
        context.file,
        t("a position of {0} is {1}, outside its weight", module.path, place),
      );
    }
    delta[place] = (delta[place] as number) + (trained[i] as number);
  });
  const { r } = config;
  if (r === null) return { delta };
  const scaling = (alphaOf(config) as number) / r;
  const scaled = tensors.values(b).map((value) => value * scaling);
  return { delta, lowRank: { a: tensors.values(a), b: scaled, rank: r } };
}

/** Positions of the `count` entries of largest or smallest magnitude, in that order (torch.topk). */
export function extremes(weight: Float32Array, count: number, largest: boolean): number[] {
  const magnitude = (i: number): number => Math.abs(weight[i] as number);
  const order = Uint32Array.from(weight, (_, i) => i);
  order.sort((i, j) => (largest ? magnitude(j) - magnitude(i) : magnitude(i) - magnitude(j)));
  return [...order.subarray(0, count)];
}
