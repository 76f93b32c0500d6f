/**
 * Uni-LoRA (https://arxiv.org/abs/2506.00799; PEFT tuners/unilora): one trained vector θ_d holds the
 * factors of all modules. Each entry of A [r, in] and B [out, r] is an entry of θ_d divided by √(how
 * often that entry is used at all); y = W x + B (A x). Which entry goes where is a balanced shuffle
 * by NumPy's default_rng(proj_seed), over the modules in the model's order, A before B; it may also
 * be stored. Run time: the low-rank path.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile } from "../base/errors.ts";
import { numpyGenerator } from "../base/numpyRandom.ts";
import type { Shape } from "../base/shape.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

export const theta = "unilora_theta_d";

const schema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(4),
  proj_seed: z.int().nonnegative(t("It must be at least 0.")).default(42),
  theta_d_length: wholeNumber.default(256),
  save_indices: z.boolean().default(false),
  bias: z
    .enum(["none", "all", "unilora_only"], t("It must be none, all or unilora_only."))
    .default("none"),
});

export type UniLoraConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  r: { default: 4, meaning: t("Rank of each module's update.") },
  proj_seed: {
    default: 42,
    meaning: t("Seed of the shuffle that spreads the vector over modules."),
  },
  theta_d_length: { default: 256, meaning: t("Length of the one trained vector.") },
  unilora_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
  fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
  bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  init_theta_d_bound: { default: 0.02, meaning: t("Bound of the vector's initial values.") },
  init_weights: { default: true, meaning: t("How the vector was initialised.") },
  save_indices: { default: false, meaning: t("The file holds which entry goes where.") },
};

export const uniLora = tunerMethod<UniLoraConfig>({
  peftType: "UNILORA",
  schema,
  fields,
  defaultTargets: loraTargets,
  suffixes: stored(),
  frozen: stored(),
  shared: [theta],
  kinds: ["linear"],
  rank: (config) => config.r,
  shapes,
  linear: linearEffect,
});

function stored(): string[] {
  return ["A", "B"].flatMap((side) => [`unilora_indices_${side}`, `unilora_scales_${side}`]);
}

export function shapes(module: ModuleInfo, config: UniLoraConfig): Record<string, Shape> {
  if (module.kind !== "linear" || !config.save_indices) return {};
  const [a, b] = [
    [config.r, module.in],
    [module.out, config.r],
  ];
  return {
    unilora_indices_A: a,
    unilora_scales_A: a,
    unilora_indices_B: b,
    unilora_scales_B: b,
  };
}

function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<UniLoraConfig>,
): LinearEffect {
  const { config, file } = context;
  const vector = context.shared.values(theta);
  if (vector.length !== config.theta_d_length) {
    throw badFile(
      file,
      t(
        'field "theta_d_length" is {0}, the vector has {1} entries',
        config.theta_d_length,
        vector.length,
      ),
    );
  }
  const [a, b] = config.save_indices
    ? (["A", "B"].map((side) => storedFactor(side, vector, { tensors, file })) as Factors)
    : shuffledFactors(module, vector, context);
  return { lowRank: { a, b, rank: config.r } };
}

type Factors = [a: Float32Array, b: Float32Array];

function storedFactor(
  side: string,
  vector: Float32Array,
  { tensors, file }: { tensors: ModuleTensors; file: string },
): Float32Array {
  const places = tensors.integers(`unilora_indices_${side}`);
  return tensors.values(`unilora_scales_${side}`).map((scale, i) => {
    const value = vector[places[i] as number];
    if (value === undefined)
      throw badFile(file, t("an index is {0}, outside the vector", String(places[i])));
    return value * scale;
  });
}

/** Where each module's entries begin in the shuffled list, and that list; made once an adapter. */
export interface Assignment {
  readonly starts: ReadonlyMap<string, number>;
  readonly places: Int32Array;
  readonly counts: Int32Array;
}

const assignments = new WeakMap<readonly ModuleInfo[], Assignment>();

function shuffledFactors(
  module: LinearModule,
  vector: Float32Array,
  { config, targets }: TunerContext<UniLoraConfig>,
): Factors {
  const { starts, places, counts } = assignmentOf(targets, config);
  const start = starts.get(module.path) as number;
  const factor = (from: number, count: number): Float32Array =>
    Float32Array.from(places.subarray(from, from + count), (place) => {
      const scale = Math.fround(1 / Math.sqrt(counts[place] as number));
      return (vector[place] as number) * scale;
    });
  const sizeOfA = config.r * module.in;
  return [factor(start, sizeOfA), factor(start + sizeOfA, config.r * module.out)];
}

export function assignmentOf(targets: readonly ModuleInfo[], config: UniLoraConfig): Assignment {
  const known = assignments.get(targets) ?? assign(targets, config);
  assignments.set(targets, known);
  return known;
}

/** Each entry is used ⌊D/d⌋ or ⌈D/d⌉ times (PEFT UniLoraModel.generate_index). */
function assign(targets: readonly ModuleInfo[], config: UniLoraConfig): Assignment {
  const starts = new Map<string, number>();
  let total = 0;
  for (const module of targets) {
    starts.set(module.path, total);
    if (module.kind === "linear") total += config.r * (module.in + module.out);
  }
  const length = config.theta_d_length;
  const each = Math.floor(total / length);
  const random = numpyGenerator(config.proj_seed);
  const places = new Int32Array(total);
  for (let i = 0; i < each * length; i++) places[i] = Math.floor(i / each);
  if (total % length > 0) places.set(random.choice(length, total % length), each * length);
  random.shuffle(places);
  const counts = new Int32Array(length);
  for (const place of places) counts[place] = (counts[place] as number) + 1;
  return { starts, places, counts };
}
