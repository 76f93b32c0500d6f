/**
 * SHiRA, sparse high-rank adapters (https://arxiv.org/abs/2406.13175; PEFT tuners/shira): r (in + out)
 * entries of the weight are changed; ΔW is their values at the stored places, a dense Δ. A file
 * without places relies on the random mask of its seed.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile, unsupported } from "../base/errors.ts";
import { torchGenerator } from "../base/torchRandom.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { type DefaultTargets, loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const shiraSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(32),
  mask_type: z.string().default("random"),
  random_seed: z
    .int()
    .nullish()
    .transform((value) => value ?? null),
});

export type ShiraConfig = z.infer<typeof shiraSchema>;

export const shira = tunerMethod<ShiraConfig>({
  peftType: "SHIRA",
  schema: shiraSchema,
  fields: {
    r: { default: 32, meaning: t("As many entries change as a LoRA of this rank has.") },
    mask_type: { default: "random", meaning: t("How the entries were chosen.") },
    random_seed: { default: null, meaning: t("Seed of the random choice.") },
    fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
    init_weights: { default: true, meaning: t("Whether training began at the base.") },
  },
  defaultTargets: shiraTargets,
  suffixes: ["shira_weight", "shira_indices"],
  frozen: ["shira_indices"],
  kinds: ["linear"],
  rank: ({ r }) => r,
  shapes: (module, { r }) => ({
    shira_weight: [r * (module.out + (module.kind === "linear" ? module.in : 0))],
  }),
  linear: linearEffect,
});

function shiraTargets(modelType: string): DefaultTargets {
  return modelType === "phi" ? ["q_proj", "v_proj"] : loraTargets(modelType);
}

function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<ShiraConfig>,
): LinearEffect {
  const values = tensors.values("shira_weight");
  const places = tensors.has("shira_indices")
    ? storedPlaces(module, tensors, { count: values.length, file: context.file })
    : maskedPlaces(module, { count: values.length, context });
  const delta = new Float32Array(module.out * module.in);
  values.forEach((value, i) => {
    const place = places[i] as number;
    delta[place] = (delta[place] as number) + value;
  });
  return { delta };
}

/** Places of a tensor [2, count] of rows and columns. */
function storedPlaces(
  { path, in: inputs, out }: LinearModule,
  tensors: ModuleTensors,
  { count, file }: { count: number; file: string },
): number[] {
  const [two, stored] = tensors.shape("shira_indices");
  if (two !== 2 || stored !== count) {
    throw badFile(file, t("the indices of {0} are not [2, {1}] like its weights", path, count));
  }
  const indices = tensors.integers("shira_indices");
  return Array.from({ length: count }, (_, i) => {
    const [row, column] = [indices[i] as number, indices[count + i] as number];
    if (row < 0 || row >= out || column < 0 || column >= inputs) {
      throw badFile(
        file,
        t("the indices of {0} name [{1}, {2}] in [{3}, {4}]", path, row, column, out, inputs),
      );
    }
    return row * inputs + column;
  });
}

/** The mask of PEFT's random_mask: a permutation's first places, in the order of the weight. */
function maskedPlaces(
  { path, in: inputs, out }: LinearModule,
  { count, context }: { count: number; context: TunerContext<ShiraConfig> },
): Int32Array {
  const { random_seed: seed, mask_type: type } = context.config;
  if (type !== "random" || seed === null) {
    throw unsupported(
      t(
        "{0}: {1} stores no shira_indices, and a {2} mask without a seed cannot be made again",
        context.file,
        path,
        type,
      ),
    );
  }
  return torchGenerator(seed)
    .permutation(inputs * out)
    .slice(0, count)
    .sort();
}
