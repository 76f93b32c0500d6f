/**
 * RoAd (https://arxiv.org/abs/2409.00119; PEFT tuners/road): the output, bias included, is turned and
 * stretched in planes: y' = c ⊙ y + s ⊙ P y. Within a group of outputs the first half is paired with
 * the second, P swaps the halves and the first one gets −s: y'₀ = c₀ y₀ − s₀ y₁, y'₁ = c₁ y₁ + s₁ y₀.
 * Variant 1 has an angle and a scale for each plane (c = α cos θ, s = α sin θ), variant 2 for each
 * output, variant 4 others for c than for s. c is an output scale, the swapped part a dense difference
 * s ⊙ P W.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, misfit } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { tunerMethod } from "./tuner/tuner.ts";

/** Stored numbers by two outputs. */
const numbersPerPair = { road_1: 1, road_2: 2, road_4: 4 } as const;

const schema = z.looseObject({
  ...tunerFields,
  variant: z
    .enum(["road_1", "road_2", "road_4"], t("It must be road_1, road_2 or road_4."))
    .default("road_1"),
  group_size: z.int(t("It must be a whole number.")).default(64),
});

export type RoadConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  variant: { default: "road_1", meaning: t("How many angles: for each plane, output or factor.") },
  group_size: { default: 64, meaning: t("Outputs of a group, whose halves are paired.") },
  init_weights: { default: true, meaning: t("Training starts with no turn.") },
};

export const road = tunerMethod<RoadConfig>({
  peftType: "ROAD",
  schema,
  fields,
  defaultTargets: loraTargets,
  check: ({ group_size: size }, { file }) => {
    if (size > 0 && size % 2 === 0) return;
    const field = "group_size";
    throw new GraftError(
      "bad-file",
      t('{0}: field "{1}" is {2}; it must be even and at least 2.', file, field, size),
      { file, field },
    );
  },
  suffixes: ["road_theta", "road_alpha"],
  kinds: ["linear"],
  rank: () => null,
  shapes: (module, { variant, group_size: group }, file): Record<string, Shape> => {
    if (module.out % group !== 0) {
      throw misfit(
        t(
          '{0}: field "group_size" is {1}, which does not divide the {2} outputs of {3}.',
          file,
          group,
          module.out,
          module.path,
        ),
      );
    }
    const size = (module.out / 2) * numbersPerPair[variant];
    return { road_theta: [size], road_alpha: [size] };
  },
  linear: async (module, tensors, context) => {
    const { group_size: group } = context.config;
    const { own, swapped } = turn(tensors, context.config, module.out);
    const weight = await context.weight(module);
    const partner = Int32Array.from({ length: module.out }, (_, row) =>
      row % group < group / 2 ? row + group / 2 : row - group / 2,
    );
    const delta = Float32Array.from(weight, (_, i) => {
      const row = Math.floor(i / module.in);
      return (
        (swapped[row] as number) *
        (weight[(partner[row] as number) * module.in + (i % module.in)] as number)
      );
    });
    const bias = await context.bias(module);
    const shift = bias?.map(
      (_, row) => (swapped[row] as number) * (bias[partner[row] as number] as number),
    );
    return { outputScale: own, delta, ...(shift && { shift }), turn: { partner, factor: swapped } };
  },
});

/** The factors of each output's own value and of its partner's, sign included. */
function turn(
  tensors: ModuleTensors,
  { variant, group_size: group }: RoadConfig,
  outputs: number,
): { own: Float32Array; swapped: Float32Array } {
  const theta = tensors.values("road_theta");
  const alpha = tensors.values("road_alpha");
  /** Where the numbers of an output stand, for c and for s. */
  const place = (row: number, isSwapped: boolean): number => {
    const [index, within] = [Math.floor(row / group), row % group];
    switch (variant) {
      case "road_1":
        return index * (group / 2) + (within % (group / 2));
      case "road_2":
        return row;
      case "road_4":
        return (2 * index + (isSwapped ? 1 : 0)) * group + within;
    }
  };
  const own = Float32Array.from({ length: outputs }, (_, row) => {
    const i = place(row, false);
    return (alpha[i] as number) * Math.cos(theta[i] as number);
  });
  const swapped = Float32Array.from({ length: outputs }, (_, row) => {
    const i = place(row, true);
    const sign = row % group < group / 2 ? -1 : 1;
    return sign * (alpha[i] as number) * Math.sin(theta[i] as number);
  });
  return { own, swapped };
}
