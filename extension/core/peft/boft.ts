/**
 * BOFT, orthogonal butterfly (https://arxiv.org/abs/2311.06243; PEFT tuners/boft): m factors, each
 * rotating blocks of permuted inputs, R = F_m … F_1 with F_i = P_i diag(blocks) P_iᵀ; the output is
 * scaled by s: y = s ⊙ (W Rᵀ x) + b. ΔW = s ⊙ W (Rᵀ − I) is dense. PEFT without its CUDA extension
 * forces m to 1 whatever the config says, so the stored tensor decides on m.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, misfit } from "../base/errors.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { cayley } from "./cayley.ts";
import { loraTargets } from "./defaultTargets.ts";
import { type LinearEffect, scaleRows } from "./effect.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const count = z.int(t("It must be a whole number.")).nonnegative(t("It must not be negative."));

const boftSchema = z.looseObject({
  ...tunerFields,
  boft_block_size: count.default(4),
  boft_block_num: count.default(0),
  boft_n_butterfly_factor: wholeNumber.default(1),
});

export type BoftConfig = z.infer<typeof boftSchema>;

export const boft = tunerMethod<BoftConfig>({
  peftType: "BOFT",
  schema: boftSchema,
  fields: {
    boft_block_size: { default: 4, meaning: t("Size of a block; 0 derives it from their number.") },
    boft_block_num: { default: 0, meaning: t("Number of blocks; 0 derives it from their size.") },
    boft_n_butterfly_factor: { default: 1, meaning: t("Number of factors: 1 is OFT.") },
    boft_dropout: { default: 0, meaning: t("Blocks left out in training; no effect on answers.") },
    fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
    bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
    init_weights: { default: true, meaning: t("Whether training began at the base.") },
  },
  defaultTargets: loraTargets,
  check,
  suffixes: ["boft_R", "boft_s"],
  kinds: ["linear"],
  rank: () => null,
  shapes: (module, config, file) => {
    const { blocks, size } = blocksOf(module.kind === "linear" ? module.in : 0, config, file);
    return { boft_R: [-1, blocks, size, size], boft_s: [module.out, 1] };
  },
  linear: linearEffect,
});

function check(config: BoftConfig, { file }: AdapterConfig): void {
  const { boft_block_size: size, boft_block_num: blocks } = config;
  if ((size === 0) !== (blocks === 0)) return;
  throw new GraftError(
    "bad-file",
    t(
      '{0}: exactly one of the fields "boft_block_size" ({1}) and "boft_block_num" ({2}) must be 0.',
      file,
      size,
      blocks,
    ),
    { file, field: "boft_block_size" },
  );
}

/** How many blocks of how many input features. @throws misfit when they do not come out even */
export function blocksOf(
  features: number,
  { boft_block_size: size, boft_block_num: blocks }: BoftConfig,
  file: string,
): { blocks: number; size: number } {
  const given = size || blocks;
  if (features % given !== 0) {
    throw misfit(
      t("{0}: {1} input features cannot be cut by {2}, as BOFT needs.", file, features, given),
    );
  }
  return size === 0 ? { blocks, size: features / blocks } : { blocks: features / size, size };
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<BoftConfig>,
): Promise<LinearEffect> {
  const { config, file } = context;
  const [factors = 0, blocks = 0, size = 0] = tensors.shape("boft_R");
  if (factors !== 1 && factors !== config.boft_n_butterfly_factor) {
    throw misfit(
      t(
        "{0}: {1} stores {2} butterfly factors, the config says {3}.",
        file,
        module.path,
        factors,
        config.boft_n_butterfly_factor,
      ),
    );
  }
  const weight = await context.weight(module);
  const stored = tensors.values("boft_R");
  const perFactor = blocks * size * size;
  const steps = Array.from({ length: factors }, (_, factor) => {
    const order = butterfly(module.in, { blocks, size, factor, factors });
    if (!order) {
      throw misfit(
        t(
          "{0}: {1} blocks of {2} on {3} do not allow {4} butterfly factors.",
          file,
          blocks,
          size,
          module.path,
          factors,
        ),
      );
    }
    const own = stored.subarray(factor * perFactor, (factor + 1) * perFactor);
    return { order, turns: rotations(own, size) };
  });
  // W Rᵀ = W F_1ᵀ … F_mᵀ.
  const turn = (matrix: Float32Array): Float64Array => {
    const out = Float64Array.from(matrix);
    for (const { order, turns } of steps) turnBlocks(out, order, { turns, size });
    return out;
  };
  const turned = turn(weight);
  const outputScale = tensors.values("boft_s");
  const difference = Float32Array.from(turned, (value, i) => value - (weight[i] as number));
  const bias = await context.bias(module);
  return {
    outputScale,
    delta: scaleRows(difference, outputScale, module.in),
    rotation: { rows: (matrix) => Float32Array.from(turn(matrix)) },
    ...(bias && { shift: bias.map((value, row) => value * (1 - (outputScale[row] as number))) }),
  };
}

/** Cayley's transform of each block's skew-symmetric part. */
function rotations(blocks: Float32Array, size: number): Float64Array[] {
  return Array.from({ length: blocks.length / (size * size) }, (_, block) => {
    const own = blocks.subarray(block * size * size, (block + 1) * size * size);
    const skew = Float64Array.from(
      own,
      (value, i) => 0.5 * (value - (own[(i % size) * size + Math.floor(i / size)] as number)),
    );
    return cayley(skew, size);
  });
}

/**
 * order[i]: where input i stands among a factor's blocks (boft/layer.py, block_butterfly_perm): in
 * every group of 2^factor blocks, half blocks at even places come first. Null when groups do not fit.
 */
export function butterfly(
  features: number,
  at: { blocks: number; size: number; factor: number; factors: number },
): number[] | null {
  const { blocks, size, factor, factors } = at;
  if (factors === 1) return Array.from({ length: features }, (_, i) => i);
  const group = size * 2 ** factor;
  const half = size / 2;
  if (size % 2 !== 0 || blocks % 2 ** (factors - 1) !== 0 || features % group !== 0) return null;
  return Array.from({ length: features }, (_, i) => {
    const place = i % group;
    const [unit, rest] = [Math.floor(place / half), place % half];
    const evens = group / half / 2;
    const from = unit < evens ? 2 * unit : 2 * (unit - evens) + 1;
    return i - place + from * half + rest;
  });
}

/** Rows w of a matrix [rows, features] become w Fᵀ, where F[i, j] = block[order i, order j]. */
function turnBlocks(
  matrix: Float64Array,
  order: readonly number[],
  { turns, size }: { turns: readonly Float64Array[]; size: number },
): void {
  const features = order.length;
  const sorted = new Float64Array(features);
  for (let start = 0; start < matrix.length; start += features) {
    order.forEach((to, i) => (sorted[to] = matrix[start + i] as number));
    order.forEach((place, i) => {
      const turn = turns[Math.floor(place / size)] as Float64Array;
      const first = place - (place % size);
      let sum = 0;
      for (let k = 0; k < size; k++) {
        sum += (sorted[first + k] as number) * (turn[(place % size) * size + k] as number);
      }
      matrix[start + i] = sum;
    });
  }
}
