/**
 * HiRA, Hadamard high-rank adaptation (PEFT tuners/hira): ΔW = W ⊙ (B A), without a scale. The
 * product with W has full rank: a dense Δ. Embeddings add e ⊙ (B A)ᵀ to a row e.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { misfit } from "../base/errors.ts";
import { multiply } from "../base/matrix.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import { behindScale } from "./embeddingScale.ts";
import type { EmbeddingEffect, LinearEffect } from "./effect.ts";
import { rankOf, tunerFields, wholeNumber } from "./tuner/config.ts";
import { numberPattern } from "./tuner/patterns.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const hiraSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(32),
  rank_pattern: numberPattern,
});

export type HiraConfig = z.infer<typeof hiraSchema>;

export const hira = tunerMethod<HiraConfig>({
  peftType: "HIRA",
  schema: hiraSchema,
  fields: {
    r: { default: 32, meaning: t("Rank of the factors that the weight is multiplied by.") },
    rank_pattern: { default: {}, meaning: t("Ranks of single modules; the first match counts.") },
    hira_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
    fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
    init_weights: {
      default: true,
      meaning: t("How the factors were initialised before training."),
    },
  },
  defaultTargets: loraTargets,
  suffixes: ["hira_A", "hira_B", "hira_embedding_A", "hira_embedding_B"],
  kinds: ["linear", "embedding"],
  rank: ({ r }) => r,
  scale: (config, path, file) => ({ rank: rankOf(path, config, file), alpha: null, scaling: null }),
  // PEFT 0.21 drops rank_pattern where it creates the layer: the tensors tell the rank.
  shapes: (module) => {
    const inputs = module.kind === "norm" ? 0 : module.in;
    const prefix = module.kind === "embedding" ? "hira_embedding_" : "hira_";
    return { [`${prefix}A`]: [-1, inputs], [`${prefix}B`]: [module.out, -1] };
  },
  linear: linearEffect,
  embedding: embeddingEffect,
});

/** The rank of the stored factors, [r, in] and [out, r]. @throws misfit when they disagree */
function storedRank(tensors: ModuleTensors, prefix: string, { file }: { file: string }): number {
  const [r, other] = [tensors.shape(`${prefix}A`)[0], tensors.shape(`${prefix}B`)[1]];
  if (r === undefined || r !== other) {
    throw misfit(
      t(
        "{0}: the factors {1}A and {2}B have ranks {3} and {4}.",
        file,
        prefix,
        prefix,
        String(r),
        String(other),
      ),
    );
  }
  return r;
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<HiraConfig>,
): Promise<LinearEffect> {
  const r = storedRank(tensors, "hira_", context);
  const factor = multiply(tensors.values("hira_B"), tensors.values("hira_A"), {
    rows: module.out,
    inner: r,
    columns: module.in,
  });
  const weight = await context.weight(module);
  return { delta: weight.map((value, i) => value * (factor[i] as number)) };
}

async function embeddingEffect(
  module: ModuleInfo,
  tensors: ModuleTensors,
  context: TunerContext<HiraConfig>,
): Promise<EmbeddingEffect> {
  const r = storedRank(tensors, "hira_embedding_", context);
  const [a, b] = [tensors.values("hira_embedding_A"), tensors.values("hira_embedding_B")];
  const vocabulary = a.length / r;
  const table = await context.weight(module);
  const scale = behindScale(module);
  return {
    rowDelta: (id) =>
      table.subarray(id * module.out, (id + 1) * module.out).map((value, column) => {
        let factor = 0;
        for (let k = 0; k < r; k++) {
          factor += (b[column * r + k] as number) * (a[k * vocabulary + id] as number);
        }
        return value * factor * scale;
      }),
  };
}
