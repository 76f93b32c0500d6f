/**
 * TinyLoRA (https://arxiv.org/abs/2602.04118; PEFT tuners/tinylora): ΔW = B R A with frozen singular
 * directions A [r, in], B [out, r] of the weight (stored) and R = Σ v_i P_i from a tiny trained
 * vector v [u], which modules may share, and random P [u, r, r], stored or made from the seed:
 * P ~ N(0, 1/r), seed + the module's place among the targets. The low-rank path; embeddings add
 * B[id] R A to a row.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, misfit } from "../base/errors.ts";
import { multiply } from "../base/matrix.ts";
import { torchGenerator } from "../base/torchRandom.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import { behindScale } from "./embeddingScale.ts";
import type { EmbeddingEffect, LinearEffect } from "./effect.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";
import { roundToEven } from "./waveFt.ts";

const tinyLoraSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(2),
  u: wholeNumber.default(64),
  weight_tying: z.number(t("It must be a number.")).default(0),
  projection_seed: z.int(t("It must be a whole number.")).default(42),
  save_projection: z.boolean().default(true),
});

export type TinyLoraConfig = z.infer<typeof tinyLoraSchema>;

export const tinyLora = tunerMethod<TinyLoraConfig>({
  peftType: "TINYLORA",
  schema: tinyLoraSchema,
  fields: {
    r: { default: 2, meaning: t("Rank: how many singular directions of the weight are mixed.") },
    u: { default: 64, meaning: t("Size of a trained vector.") },
    weight_tying: { default: 0, meaning: t("How far modules share vectors: 0 none, 1 all.") },
    projection_seed: { default: 42, meaning: t("Seed of the random projections.") },
    save_projection: { default: true, meaning: t("Whether the projections are stored.") },
    init_v_bound: { default: 0.02, meaning: t("Bound of uniform initial values.") },
    tinylora_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
    fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
    init_weights: {
      default: true,
      meaning: t("How the vectors were initialised before training."),
    },
    bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  },
  defaultTargets: loraTargets,
  check,
  suffixes: ["tinylora_A", "tinylora_B", "tinylora_P"],
  frozen: ["tinylora_A", "tinylora_B", "tinylora_P"],
  sharedPattern: /^tinylora_v\.\d+$/,
  kinds: ["linear", "embedding"],
  rank: ({ r }) => r,
  shapes: (module, config) => {
    const r = rankOf(module, config);
    const [inputs, outputs] = sidesOf(module);
    return { tinylora_A: [r, inputs], tinylora_B: [outputs, r] };
  },
  linear: linearEffect,
  embedding: embeddingEffect,
});

function check({ weight_tying: tying }: TinyLoraConfig, { file }: AdapterConfig): void {
  if (tying >= 0 && tying <= 1) return;
  throw new GraftError(
    "bad-file",
    t('{0}: field "weight_tying" is {1}, not in [0, 1].', file, tying),
    {
      file,
      field: "weight_tying",
    },
  );
}

/** The sides of A and B; an embedding's table is [vocabulary, dim] and taken as it stands. */
export function sidesOf(module: ModuleInfo): readonly [number, number] {
  if (module.kind === "linear") return [module.in, module.out];
  return [module.out, module.kind === "embedding" ? module.in : 0];
}

export function rankOf(module: ModuleInfo, { r }: TinyLoraConfig): number {
  return Math.min(r, ...sidesOf(module));
}

/** R [r, r] of a module. */
function mixing(
  module: ModuleInfo,
  tensors: ModuleTensors,
  { config, file, shared, targets }: TunerContext<TinyLoraConfig>,
): Float64Array {
  const { u } = config;
  const r = rankOf(module, config);
  const place = targets.findIndex(({ path }) => path === module.path);
  const name = `tinylora_v.${groupOf(place, targets.length, config)}`;
  const vector = shared.has(name) ? shared.values(name) : null;
  if (vector?.length !== u) {
    throw misfit(
      t('{0}: {1} needs "{2}" of {3} values, which the file lacks.', file, module.path, name, u),
    );
  }
  const isStored = config.save_projection && tensors.has("tinylora_P");
  const projections = isStored ? tensors.values("tinylora_P") : drawnProjections(place, r, config);
  if (projections.length !== u * r * r) {
    throw misfit(
      t("{0}: the projections of {1} are not [{2}, {3}, {4}].", file, module.path, u, r, r),
    );
  }
  return multiply(vector, projections, { rows: 1, inner: u, columns: r * r });
}

/** P [u, r, r] of the module at a place. */
export function drawnProjections(
  place: number,
  r: number,
  { u, projection_seed: seed }: TinyLoraConfig,
): Float32Array {
  return torchGenerator(seed + place).normal(u * r * r, 0, 1 / r ** 0.5);
}

/** How many vectors so many modules share. */
export function groupCount(modules: number, { weight_tying: tying }: TinyLoraConfig): number {
  return Math.max(1, roundToEven(modules * (1 - tying)));
}

/** Which vector the module at a place uses (tinylora/model.py, _create_and_replace). */
export function groupOf(place: number, modules: number, config: TinyLoraConfig): number {
  const groups = groupCount(modules, config);
  const size = Math.max(1, Math.floor(modules / groups));
  return Math.min(Math.floor(place / size), groups - 1);
}

function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<TinyLoraConfig>,
): LinearEffect {
  const rank = rankOf(module, context.config);
  const r = mixing(module, tensors, context);
  const a = multiply(r, tensors.values("tinylora_A"), {
    rows: rank,
    inner: rank,
    columns: module.in,
  });
  return { lowRank: { a: Float32Array.from(a), b: tensors.values("tinylora_B"), rank } };
}

function embeddingEffect(
  module: ModuleInfo,
  tensors: ModuleTensors,
  context: TunerContext<TinyLoraConfig>,
): EmbeddingEffect {
  const rank = rankOf(module, context.config);
  const r = mixing(module, tensors, context);
  const size = { rows: rank, inner: rank, columns: module.out };
  const scale = behindScale(module);
  const directions = multiply(r, tensors.values("tinylora_A"), size).map((value) => value * scale);
  const b = tensors.values("tinylora_B");
  return {
    rowDelta: (id) => {
      const own = b.subarray(id * rank, (id + 1) * rank);
      return Float32Array.from(
        multiply(own, directions, { rows: 1, inner: rank, columns: module.out }),
      );
    },
  };
}
