/**
 * FourierFT (https://arxiv.org/abs/2405.03003; PEFT tuners/fourierft): n coefficients at seeded random
 * places of a spectrum S [out, in]; ΔW = scaling · Re(ifft2 S), with the 1 / (in out) of numpy. Every
 * coefficient is a wave over the whole matrix: a dense Δ.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { misfit } from "../base/errors.ts";
import { type Complex, complexZeros, inverseTransform } from "../base/fourier.ts";
import { torchGenerator } from "../base/torchRandom.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { spectralTargets } from "./c3a.ts";
import type { LinearEffect } from "./effect.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import { matchNameEnd, numberPattern } from "./tuner/patterns.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const fourierFtSchema = z.looseObject({
  ...tunerFields,
  n_frequency: wholeNumber.default(1000),
  n_frequency_pattern: numberPattern,
  scaling: z.number(t("It must be a number.")).default(150),
  random_loc_seed: z.int(t("It must be a whole number.")).default(777),
});

export type FourierFtConfig = z.infer<typeof fourierFtSchema>;

export const fourierFt = tunerMethod<FourierFtConfig>({
  peftType: "FOURIERFT",
  schema: fourierFtSchema,
  fields: {
    n_frequency: { default: 1000, meaning: t("Number of trained coefficients of a module.") },
    n_frequency_pattern: { default: {}, meaning: t("Their number in single modules.") },
    scaling: { default: 150, meaning: t("Strength of the update.") },
    random_loc_seed: { default: 777, meaning: t("Seed of the coefficients' places.") },
    fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
    init_weights: { default: false, meaning: t("Whether training began at the base.") },
    bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  },
  defaultTargets: spectralTargets,
  suffixes: ["fourierft_spectrum"],
  kinds: ["linear"],
  rank: () => null,
  shapes: ({ path }, config, file) => ({
    fourierft_spectrum: [
      matchNameEnd(config.n_frequency_pattern, path, { field: "n_frequency_pattern", file }) ??
        config.n_frequency,
    ],
  }),
  linear: linearEffect,
});

function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  { config, file }: TunerContext<FourierFtConfig>,
): LinearEffect {
  const spectrum = tensors.values("fourierft_spectrum");
  const places = spectralPlaces(module, {
    seed: config.random_loc_seed,
    count: spectrum.length,
    file,
  });
  const rows = new Map<number, Complex>();
  places.forEach((place, i) => {
    const row = Math.floor(place / module.in);
    const own = rows.get(row) ?? complexZeros(module.in);
    rows.set(row, own);
    own.re[place % module.in] = (spectrum[i] as number) * config.scaling;
  });
  return { delta: realInverse(rows, module) };
}

/** Places in the weight, row by row, at which a seed puts coefficients; WaveFT does the same. */
export function spectralPlaces(
  { path, in: inputs, out }: LinearModule,
  { seed, count, file }: { seed: number; count: number; file: string },
): Int32Array {
  if (count > inputs * out) {
    throw misfit(t("{0}: {1} coefficients are more than {2} has entries.", file, count, path));
  }
  return torchGenerator(seed).permutation(inputs * out, count);
}

/** Re(ifft2) [out, in] of a spectrum given by its rows that are not zero. */
function realInverse(
  rows: ReadonlyMap<number, Complex>,
  { in: inputs, out }: LinearModule,
): Float32Array {
  const alongRow = inverseTransform(inputs);
  const alongColumn = inverseTransform(out);
  const waves = [...rows].map(([row, values]) => ({ row, ...alongRow(values) }));
  const result = new Float32Array(out * inputs);
  // The part of a column that becomes real is its Hermitian part; two of those make one transform.
  for (let column = 0; column < inputs; column += 2) {
    const pair = complexZeros(out);
    for (const { row, re, im } of waves) {
      const mirror = (out - row) % out;
      const [a, b] = [(re[column] as number) / 2, (im[column] as number) / 2];
      const [c, d] = [(re[column + 1] ?? 0) / 2, (im[column + 1] ?? 0) / 2];
      pair.re[row] = (pair.re[row] as number) + a - d;
      pair.im[row] = (pair.im[row] as number) + b + c;
      pair.re[mirror] = (pair.re[mirror] as number) + a + d;
      pair.im[mirror] = (pair.im[mirror] as number) - b + c;
    }
    const { re, im } = alongColumn(pair);
    for (let row = 0; row < out; row++) {
      result[row * inputs + column] = re[row] as number;
      if (column + 1 < inputs) result[row * inputs + column + 1] = im[row] as number;
    }
  }
  return result;
}
