/**
 * WaveFT (https://arxiv.org/abs/2505.12532; PEFT tuners/waveft): n coefficients at seeded random places
 * of a wavelet spectrum as large as the weight, padded to what one step of the inverse transform
 * uses up; ΔW = scaling · that step. Each coefficient adds a patch of filter length squared, so ΔW
 * is built from n patches and is a dense Δ. Without use_idwt the coefficients themselves are ΔW.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { misfit, unsupported } from "../base/errors.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import { matchPattern } from "../checkpoint/targets.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { spectralTargets } from "./c3a.ts";
import type { LinearEffect } from "./effect.ts";
import { spectralPlaces } from "./fourierFt.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import { numberPattern } from "./tuner/patterns.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";
import { scalingFilters } from "./waveletFilters.ts";

const waveFtSchema = z.looseObject({
  ...tunerFields,
  n_frequency: wholeNumber.default(2592),
  n_frequency_pattern: numberPattern,
  proportional_parameters: z.boolean().default(false),
  scaling: z.number(t("It must be a number.")).default(25),
  wavelet_family: z.string().default("db1"),
  use_idwt: z.boolean().default(true),
  random_loc_seed: z.int(t("It must be a whole number.")).default(777),
});

export type WaveFtConfig = z.infer<typeof waveFtSchema>;

export const waveFt = tunerMethod<WaveFtConfig>({
  peftType: "WAVEFT",
  schema: waveFtSchema,
  fields: {
    n_frequency: { default: 2592, meaning: t("Number of trained coefficients of a module.") },
    n_frequency_pattern: { default: {}, meaning: t("Their number in single modules.") },
    proportional_parameters: {
      default: false,
      meaning: t("Larger modules have more of the coefficients, smaller ones fewer."),
    },
    scaling: { default: 25, meaning: t("Strength of the update.") },
    wavelet_family: { default: "db1", meaning: t("The wavelet: db1 … db10, sym2 …, coif1 ….") },
    use_idwt: {
      default: true,
      meaning: t("Coefficients are of wavelets; else they are the update."),
    },
    random_loc_seed: { default: 777, meaning: t("Seed of the coefficients' places.") },
    fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
    init_weights: { default: true, meaning: t("Whether training began at the base.") },
    bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  },
  defaultTargets: spectralTargets,
  check,
  suffixes: ["waveft_spectrum"],
  kinds: ["linear"],
  rank: () => null,
  // Proportional numbers depend on all targets: `linearEffect` checks them.
  shapes: (module, config, file) => ({
    waveft_spectrum: [config.proportional_parameters ? -1 : ownCount(module, config, file)],
  }),
  linear: linearEffect,
});

function check(
  { use_idwt: isWave, wavelet_family: family }: WaveFtConfig,
  { file }: AdapterConfig,
): void {
  if (isWave && !Object.hasOwn(scalingFilters, family)) {
    throw unsupported(
      t('{0}: PEFT 0.21 computes nothing for wavelet_family "{1}"', file, family),
      t("It computes {0}.", Object.keys(scalingFilters).join(", ")),
    );
  }
}

/** A module's number of coefficients where it is no share of all. */
export function ownCount({ path }: ModuleInfo, config: WaveFtConfig, file: string): number {
  const place = { field: "n_frequency_pattern", file };
  return matchPattern(config.n_frequency_pattern, path, place) ?? config.n_frequency;
}

function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  { config, file, targets }: TunerContext<WaveFtConfig>,
): LinearEffect {
  const spectrum = tensors.values("waveft_spectrum");
  const wanted = proportionalCount(module, config, targets);
  if (config.proportional_parameters && spectrum.length !== wanted) {
    throw misfit(
      t(
        "{0}: {1} stores {2} coefficients; its share on this base is {3}.",
        file,
        module.path,
        spectrum.length,
        wanted,
      ),
    );
  }
  const places = spectralPlaces(module, {
    seed: config.random_loc_seed,
    count: spectrum.length,
    file,
  });
  const values = spectrum.map((value) => value * config.scaling);
  if (config.use_idwt) {
    const filter = scalingFilters[config.wavelet_family] as readonly number[];
    return { delta: fromWavelets(module, { places, values, filter }) };
  }
  const delta = new Float32Array(module.out * module.in);
  places.forEach((place, i) => (delta[place] = values[i] as number));
  return { delta };
}

/** A module's share of n coefficients a module, by its size among the targets; at least 1. */
export function proportionalCount(
  module: LinearModule,
  { n_frequency: count }: WaveFtConfig,
  targets: readonly ModuleInfo[],
): number {
  const sizes = targets.flatMap((each) => (each.kind === "linear" ? [each.in * each.out] : []));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  return Math.max(1, roundToEven(((module.in * module.out) / total) * (count * sizes.length)));
}

/** Python's round. */
export function roundToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/** What coefficients add to the entries of a weight: entry to[i] gets coefficient of[i] · factors[i]. */
export interface Patches {
  readonly of: Int32Array;
  readonly to: Int32Array;
  readonly factors: Float32Array;
}

/**
 * One step of the inverse transform in two dimensions (waveft/waverec2d.py), by the patches that it makes
 * of the coefficients at some places.
 */
export function patches(
  { in: inputs, out }: LinearModule,
  { places, filter: low }: { places: Int32Array; filter: readonly number[] },
): Patches {
  const length = low.length;
  const high = low.map((_, i) => (i % 2 === 0 ? 1 : -1) * (low[length - 1 - i] as number));
  const [rows, columns] = [padded(out, length), padded(inputs, length)];
  const most = places.length * length * length;
  const [of, to, factors] = [new Int32Array(most), new Int32Array(most), new Float32Array(most)];
  let count = 0;
  places.forEach((place, i) => {
    const row = Math.floor(place / inputs) + rows.offset;
    const column = (place % inputs) + columns.offset;
    // The band to the right is high along the rows' axis, the one below along the columns'.
    const down = column < columns.half ? low : high;
    const across = row < rows.half ? low : high;
    const top = 2 * (row % rows.half) - (length - 2);
    const left = 2 * (column % columns.half) - (length - 2);
    for (let k = Math.max(0, -top); k < length && top + k < out; k++) {
      for (let l = Math.max(0, -left); l < length && left + l < inputs; l++, count++) {
        of[count] = i;
        to[count] = (top + k) * inputs + left + l;
        factors[count] = (down[k] as number) * (across[l] as number);
      }
    }
  });
  return {
    of: of.subarray(0, count),
    to: to.subarray(0, count),
    factors: factors.subarray(0, count),
  };
}

function fromWavelets(
  module: LinearModule,
  { values, ...at }: { places: Int32Array; values: Float32Array; filter: readonly number[] },
): Float32Array {
  const sum = new Float64Array(module.out * module.in);
  const { of, to, factors } = patches(module, at);
  of.forEach((coefficient, i) => {
    const entry = to[i] as number;
    const added = (values[coefficient] as number) * (factors[i] as number);
    sum[entry] = (sum[entry] as number) + added;
  });
  return Float32Array.from(sum);
}

/** A side, padded by what the transform cuts off and to an even size: half of it, and the offset. */
function padded(side: number, length: number): { half: number; offset: number } {
  const size = side + length - 2;
  const even = size + (size % 2);
  return { half: even / 2, offset: Math.floor((even - side) / 2) };
}
