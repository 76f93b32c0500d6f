/**
 * Poly and its multi-head form (https://arxiv.org/abs/2202.13914, https://arxiv.org/abs/2211.03831;
 * PEFT tuners/poly): an inventory of skills, each a LoRA cut into splits along the features, and for
 * each task a mixture of them. With σ = sigmoid of the task's logits and w = σ / Σ σ over the skills
 * of a split,
 *
 *     A[split] = Σ w A[split, skill]   B[split] = Σ w B[split, skill]   y = W x + (B A x) / r
 *
 * Factors are mixed, not products. For a given task that is a plain LoRA: the low-rank path, with one
 * effect a task; which one is the caller's choice (PEFT's task_ids).
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { misfit } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

export const logits = "poly_router.module_logits";

const schema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(8),
  poly_type: z.enum(["poly"], t("PEFT 0.21 knows poly.")).default("poly"),
  n_tasks: wholeNumber.default(1),
  n_skills: wholeNumber.default(4),
  n_splits: wholeNumber.default(1),
});

export type PolyConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  r: { default: 8, meaning: t("Rank of each skill.") },
  init_weights: { default: true, meaning: t("The update was zero before training.") },
  poly_type: { default: "poly", meaning: t("Kind of router.") },
  n_tasks: { default: 1, meaning: t("Tasks that the adapter mixes skills for.") },
  n_skills: { default: 4, meaning: t("Skills to mix.") },
  n_splits: { default: 1, meaning: t("Parts of the features with a mixture of their own.") },
};

export const poly = tunerMethod<PolyConfig>({
  peftType: "POLY",
  schema,
  fields,
  defaultTargets: loraTargets,
  suffixes: [logits, "poly_lora_A", "poly_lora_B"],
  kinds: ["linear"],
  rank: (config) => config.r,
  scale: ({ r }) => ({ rank: r, alpha: null, scaling: 1 / r }),
  tasks: (config) => config.n_tasks,
  shapes,
  linear: linearEffect,
});

function shapes(module: ModuleInfo, config: PolyConfig, file: string): Record<string, Shape> {
  if (module.kind !== "linear") return {};
  const { r, n_tasks: tasks, n_skills: skills, n_splits: splits } = config;
  if (module.in % splits !== 0 || module.out % splits !== 0) {
    throw misfit(
      t("{0}: the features of {1} cannot be cut into {2} parts.", file, module.path, splits),
      {
        file,
        module: module.path,
      },
    );
  }
  return {
    [logits]: [tasks, splits * skills],
    poly_lora_A: [splits, skills, module.in / splits, r],
    poly_lora_B: [splits, skills, r, module.out / splits],
  };
}

function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  { config, task }: TunerContext<PolyConfig>,
): LinearEffect {
  const { r, n_splits: splits } = config;
  const weights = mixture(tensors.values(logits), config, task);
  const inputs = mixed(tensors.values("poly_lora_A"), weights, config);
  const outputs = mixed(tensors.values("poly_lora_B"), weights, config);
  const a = new Float32Array(r * module.in);
  // [splits, in / splits, r]: the splits lie one after another along the features.
  inputs.forEach((value, i) => (a[(i % r) * module.in + Math.floor(i / r)] = value));
  const b = new Float32Array(module.out * r);
  const width = module.out / splits;
  // [splits, r, out / splits]
  outputs.forEach((value, i) => {
    const [split, rank] = [Math.floor(i / (r * width)), Math.floor(i / width) % r];
    b[(split * width + (i % width)) * r + rank] = value / r;
  });
  return { lowRank: { a, b, rank: r } };
}

/** A task's weight of each split's skills [splits · skills]. */
function mixture(
  all: Float32Array,
  { n_skills: skills, n_splits: splits }: PolyConfig,
  task: number,
): Float64Array {
  const own = all.subarray(task * splits * skills, (task + 1) * splits * skills);
  const open = Float64Array.from(own, (value) => 1 / (1 + Math.exp(-value)));
  return open.map((value, i) => {
    const start = i - (i % skills);
    const sum = open.subarray(start, start + skills).reduce((total, each) => total + each, 0);
    return value / (sum + 1e-12);
  });
}

/** [splits, skills, …] → the weighted sum over skills [splits, …]. */
function mixed(
  inventory: Float32Array,
  weights: Float64Array,
  { n_skills: skills, n_splits: splits }: PolyConfig,
): Float64Array {
  const size = inventory.length / weights.length;
  const out = new Float64Array(splits * size);
  weights.forEach((weight, block) => {
    const to = Math.floor(block / skills) * size;
    for (let i = 0; i < size; i++) {
      out[to + i] = (out[to + i] as number) + weight * (inventory[block * size + i] as number);
    }
  });
  return out;
}
