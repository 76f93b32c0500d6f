/**
 * MiSS (https://arxiv.org/abs/2409.15371; PEFT tuners/miss), which was first called Bone: shards of
 * the weight share one block D [r, out]: ΔW[o, i] = D[i mod r, o].
 * Run time: the low-rank path with a 0/1 matrix that sums the inputs of a shard. "mini" repeats a
 * block [r, mini_r] along the outputs, so the rank is the smaller of the two. "bat" multiplies the
 * weight itself, ΔW_pq = W_pq D_p + D_p for blocks of r × r: full rank, hence a dense Δ.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { misfit } from "../base/errors.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, type TunerMethod, tunerMethod } from "./tuner/tuner.ts";

const missSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(64),
  mini_r: wholeNumber.default(1),
  // Another text than these two is as good as true (miss/layer.py).
  init_weights: z.union([z.boolean(), z.string()]).default(true),
});

export type MissConfig = z.infer<typeof missSchema>;

const fields = {
  r: { default: 64, meaning: t("Size of a shard along the inputs: the rank of the update.") },
  mini_r: { default: 1, meaning: t("For mini: size of a shard along the outputs.") },
  init_weights: {
    default: true,
    meaning: t("The variant: true is the plain one, bat multiplies the weight, mini is smaller."),
  },
  bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
};

export const miss = missMethod("MISS", "miss", {
  ...fields,
  miss_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
});

/** Adapters of PEFT 0.14 to 0.18, where MiSS had another name for the same tensors. */
export const bone = missMethod("BONE", "bone", fields);

function missMethod(
  peftType: string,
  prefix: string,
  fieldInfo: Readonly<Record<string, { default: unknown; meaning: string }>>,
): TunerMethod<MissConfig> {
  const name = `${prefix}_block`;
  return tunerMethod<MissConfig>({
    peftType,
    schema: missSchema,
    fields: fieldInfo,
    defaultTargets: loraTargets,
    suffixes: [name],
    kinds: ["linear"],
    rank: ({ r }) => r,
    shapes: (module, { r, mini_r, init_weights }) => {
      if (init_weights === "bat") return { [name]: [Math.floor(module.out / r), r, r] };
      return { [name]: [r, init_weights === "mini" ? mini_r : module.out] };
    },
    linear: (module, tensors, context) => missEffect(module, { name, tensors, context }),
  });
}

interface MissAt {
  readonly name: string;
  readonly tensors: ModuleTensors;
  readonly context: TunerContext<MissConfig>;
}

async function missEffect(
  module: LinearModule,
  { name, tensors, context }: MissAt,
): Promise<LinearEffect> {
  const { file } = context;
  const { r, mini_r: width, init_weights: variant } = context.config;
  const block = tensors.values(name);
  if (variant === "bat") {
    for (const size of [module.in, module.out]) requireMultiple(size, r, { module, file });
    return batEffect(module, { block, r, weight: await context.weight(module) });
  }
  if (variant !== "mini") {
    const b = Float32Array.from({ length: module.out * r }, (_, i) =>
      at(block, (i % r) * module.out + Math.floor(i / r)),
    );
    return { lowRank: { a: sums(r, module.in), b, rank: r } };
  }
  requireMultiple(module.out, width, { module, file });
  if (r <= width) {
    const b = Float32Array.from({ length: module.out * r }, (_, i) =>
      at(block, (i % r) * width + (Math.floor(i / r) % width)),
    );
    return { lowRank: { a: sums(r, module.in), b, rank: r } };
  }
  // The 0/1 matrix now stands on the side of the outputs.
  const a = Float32Array.from({ length: width * module.in }, (_, i) =>
    at(block, ((i % module.in) % r) * width + Math.floor(i / module.in)),
  );
  const b = Float32Array.from({ length: module.out * width }, (_, i) =>
    Math.floor(i / width) % width === i % width ? 1 : 0,
  );
  return { lowRank: { a, b, rank: width } };
}

function requireMultiple(
  size: number,
  part: number,
  { module, file }: { module: LinearModule; file: string },
): void {
  if (size % part === 0) return;
  throw misfit(
    t(
      "{0}: {1} has a side of {2}, which blocks of {3} cannot tile.",
      file,
      module.path,
      size,
      part,
    ),
  );
}

/** [r, inputs]: row k sums every r-th input from k on. */
function sums(r: number, inputs: number): Float32Array {
  return Float32Array.from({ length: r * inputs }, (_, i) =>
    (i % inputs) % r === Math.floor(i / inputs) ? 1 : 0,
  );
}

/** ΔW = W D + D of blocks D [out / r, r, r], each for r outputs: what came before is turned as W is. */
function batEffect(
  { in: inputs, out }: LinearModule,
  { block, r, weight }: { block: Float32Array; r: number; weight: Float32Array },
): LinearEffect {
  /** matrix · B, and what a column gets besides; rows of the matrix are the outputs. */
  const product = (
    matrix: Float32Array,
    extra: (own: number, inner: number, value: number) => number,
  ): Float32Array =>
    matrix.map((value, i) => {
      const [row, column] = [Math.floor(i / inputs), i % inputs];
      const own = Math.floor(row / r) * r * r;
      const inner = column % r;
      let sum = extra(own + (row % r) * r, inner, value);
      for (let k = 0; k < r; k++) {
        sum += at(matrix, i - inner + k) * at(block, own + k * r + inner);
      }
      return sum;
    });
  return {
    delta: product(weight.subarray(0, out * inputs), (own, inner) => at(block, own + inner)),
    rotation: {
      rows: (matrix) => product(matrix, (_own, _inner, value) => value),
      perOutput: true,
    },
  };
}

function at(values: Float32Array, i: number): number {
  return values[i] as number;
}
