import { t } from "@vscode/l10n";
import { z } from "zod";
import { matchPattern } from "../checkpoint/targets.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { LayerSize } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { rankOf, tunerFields, wholeNumber } from "./tuner/config.ts";

/** Fields that LoHa and LoKr share (PEFT tuners/lycoris_utils.py), as far as they change answers. */
export const lycorisFields = {
  ...tunerFields,
  r: wholeNumber.default(8),
  alpha: z.number(t("It must be a number.")).default(8),
  rank_pattern: z
    .record(z.string(), wholeNumber)
    .nullish()
    .transform((value) => value ?? {}),
  alpha_pattern: z
    .record(z.string(), z.number())
    .nullish()
    .transform((value) => value ?? {}),
  use_effective_conv2d: z.boolean().default(false),
};

const lycorisSchema = z.looseObject(lycorisFields);

export const lycorisFieldInfo: Readonly<Record<string, FieldInfo>> = {
  r: { default: 8, meaning: t("Rank of the factors.") },
  alpha: { default: 8, meaning: t("Strength: the update is scaled by alpha / r.") },
  rank_pattern: { default: {}, meaning: t("Ranks of single modules; the first match counts.") },
  alpha_pattern: { default: {}, meaning: t("Alphas of single modules; the first match counts.") },
  rank_dropout: { default: 0, meaning: t("Dropout of output rows in training.") },
  module_dropout: { default: 0, meaning: t("Dropout of whole modules in training.") },
  use_effective_conv2d: { default: false, meaning: t("Another decomposition of convolutions.") },
  init_weights: { default: true, meaning: t("How the factors were initialised before training.") },
};

/** Rank, alpha and scaling alpha / r of one module; a full factor is scaled the same way. */
export function lycorisScale(
  config: z.infer<typeof lycorisSchema>,
  path: string,
  file: string,
): { rank: number; alpha: number; scaling: number } {
  const rank = rankOf(path, config, file);
  const alpha =
    matchPattern(config.alpha_pattern, path, { field: "alpha_pattern", file }) ?? config.alpha;
  return { rank, alpha, scaling: alpha / rank };
}

/** Is a module's weight decomposed with its kernel apart? A kernel of one pixel is not. */
export function isKernelApart(
  module: ModuleInfo,
  { use_effective_conv2d: isEffective }: z.infer<typeof lycorisSchema>,
): module is LinearModule & { kernel: readonly [number, number, number] } {
  if (module.kind !== "linear" || !module.kernel || !isEffective) return false;
  const [, height, width] = module.kernel;
  return height * width > 1;
}

/**
 * Σ a[i, out] t[i, j, height, width] b[j, in] as a matrix [out, in · height · width]
 * (PEFT make_weight_cp).
 */
export function kernelProduct(
  { t, a, b }: { t: Float32Array; a: Float32Array; b: Float32Array },
  { rank, pixels }: { rank: number; pixels: number },
): Float32Array {
  const [out, inputs] = [a.length / rank, b.length / rank];
  const result = new Float64Array(out * inputs * pixels);
  for (let i = 0; i < rank; i++) {
    for (let j = 0; j < rank; j++) {
      const at = (i * rank + j) * pixels;
      for (let row = 0; row < out; row++) {
        for (let column = 0; column < inputs; column++) {
          const factor = (a[i * out + row] as number) * (b[j * inputs + column] as number);
          const start = (row * inputs + column) * pixels;
          for (let pixel = 0; pixel < pixels; pixel++) {
            result[start + pixel] =
              (result[start + pixel] as number) + factor * (t[at + pixel] as number);
          }
        }
      }
    }
  }
  return Float32Array.from(result);
}

/** Whether two factors cost less than the matrix itself. */
export function isLowRank(rank: number, { in: inputs, out }: LayerSize): boolean {
  return rank * (inputs + out) < inputs * out;
}
