/**
 * RandLoRA (https://arxiv.org/abs/2502.00987; PEFT tuners/randlora): a full-rank update as a sum of
 * random rank-r bases that all modules share, of which only two small matrices are trained,
 *
 *     ΔW = alpha / r · UB · UA,  UA[(i, n), :] = λ[i, n] γ[n, :] ⊙ A[i, :],  UB[:, (n, i)] = B[:, n, i]
 *
 * for a layer that is taller than wide, transposed for others: A lies on the smaller side. (Rows of UA
 * are ordered by i first, columns of UB by n first, as PEFT flattens them.) Run time: the low-rank
 * path. Its rank is the smaller side or slightly more, which costs at most twice the dense difference
 * at each token, but the dense one would cost the cube of the layer's size while loading.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LayerSize, LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { type RandomBases, randomBases } from "./randomBases.ts";
import { largestLayer, projectionWarnings } from "./sharedProjection.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const biases = z.enum(
  ["none", "all", "randlora_only"],
  t("It must be none, all or randlora_only."),
);

const schema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(32),
  randlora_alpha: z.number(t("It must be a number.")).default(640),
  projection_prng_key: z.int(t("It must be a whole number.")).default(0),
  save_projection: z.boolean().default(true),
  sparse: z.boolean().default(false),
  very_sparse: z.boolean().default(false),
  bias: biases.default("none"),
});

export type RandLoraConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  r: { default: 32, meaning: t("Rank of each random basis.") },
  randlora_alpha: { default: 640, meaning: t("Strength: the update is scaled by alpha / r.") },
  projection_prng_key: { default: 0, meaning: t("Seed of the shared random bases.") },
  save_projection: { default: true, meaning: t("The shared random bases are stored.") },
  sparse: { default: false, meaning: t("Bases of −1, 0 and 1, of which two thirds are 0.") },
  very_sparse: { default: false, meaning: t("Bases of −1, 0 and 1 that are almost all 0.") },
  randlora_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
  fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
  bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  init_weights: { default: true, meaning: t("Training starts from the default values.") },
};

const [a, b] = ["randlora_A", "randlora_B"];

export const randLora = tunerMethod<RandLoraConfig>({
  peftType: "RANDLORA",
  schema,
  fields,
  defaultTargets: loraTargets,
  // PEFT stores the bases once, and once more beside each module.
  suffixes: ["randlora_lambda", "randlora_gamma", a, b],
  shared: [a, b],
  frozen: [a, b],
  kinds: ["linear"],
  rank: ({ r }) => r,
  shapes: (module, { r }): Record<string, Shape> => {
    if (module.kind !== "linear") return {};
    const narrow = Math.min(module.in, module.out);
    const count = Math.ceil(narrow / r);
    return { randlora_lambda: [r, count], randlora_gamma: [count, narrow] };
  },
  linear: (module, tensors, context) => {
    const lambda = tensors.values("randlora_lambda");
    const gamma = tensors.values("randlora_gamma");
    return update(module, basesOf(context, tensors), { lambda, gamma, config: context.config });
  },
  warnings: projectionWarnings,
});

/** By the stored tensors of an adapter that is being loaded. */
const known = new WeakMap<object, RandomBases>();

/** The stored bases, or those of the seed. */
function basesOf(context: TunerContext<RandLoraConfig>, own: ModuleTensors): RandomBases {
  const made = known.get(context.shared);
  if (made) return made;
  const { config, shared, targets, file } = context;
  const size = largestLayer(targets);
  const stored = config.save_projection
    ? [shared, own].find((tensors) => tensors.has(a) && tensors.has(b))
    : undefined;
  const bases = stored
    ? storedBases(stored, { size, r: config.r, file })
    : randomBases(config, size);
  known.set(context.shared, bases);
  return bases;
}

function storedBases(
  tensors: ModuleTensors,
  { size, r, file }: { size: LayerSize; r: number; file: string },
): RandomBases {
  const [narrow, wide] = [Math.min(size.in, size.out), Math.max(size.in, size.out)];
  const count = Math.ceil(narrow / r);
  const shapes = [tensors.shape(a).join(), tensors.shape(b).join()];
  const wanted = [[r, 1, narrow].join(), [wide, count, r].join()];
  if (shapes.join(" ") !== wanted.join(" ")) {
    throw badFile(
      file,
      t("its bases are [{0}], not [{1}]", shapes.join("] and ["), wanted.join("] and [")),
    );
  }
  return { a: tensors.values(a), b: tensors.values(b), narrow, count };
}

/** Both factors of one layer; those of a wide layer are the transposed ones of a tall layer. */
function update(
  { in: inputs, out }: LinearModule,
  bases: RandomBases,
  at: { lambda: Float32Array; gamma: Float32Array; config: RandLoraConfig },
): LinearEffect {
  const { lambda, gamma, config } = at;
  const { r, randlora_alpha: alpha } = config;
  const [narrow, wide] = [Math.min(inputs, out), Math.max(inputs, out)];
  const count = Math.ceil(narrow / r);
  const rank = r * count;
  const isTall = inputs === narrow;
  const ua = new Float32Array(rank * narrow);
  const ub = new Float32Array(wide * rank);
  for (let k = 0; k < rank; k++) {
    const [i, n] = [Math.floor(k / count), k % count];
    const scale = ((lambda[k] as number) * alpha) / r;
    for (let j = 0; j < narrow; j++) {
      const value = (bases.a[i * bases.narrow + j] as number) * (gamma[n * narrow + j] as number);
      ua[isTall ? k * narrow + j : j * rank + k] = scale * value;
    }
    for (let j = 0; j < wide; j++) {
      ub[isTall ? j * rank + k : k * wide + j] = bases.b[j * bases.count * r + k] as number;
    }
  }
  return { lowRank: isTall ? { a: ua, b: ub, rank } : { a: ub, b: ua, rank } };
}
