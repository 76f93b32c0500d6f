/**
 * LoKr (https://arxiv.org/abs/2212.10650; PEFT tuners/lokr): ΔW = alpha / r · w1 ⊗ w2, Kronecker's
 * product of w1 [out 1, in 1] and w2 [out 2, in 2], each full or a product of two factors. Because
 * (P1 Q1) ⊗ (P2 Q2) = (P1 ⊗ P2)(Q1 ⊗ Q2), two factors of rank k1 and k2 are a low-rank update of rank
 * k1 k2; where that outgrows the layer, as for two full matrices, the dense difference is cheaper.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { kronecker, multiply } from "../base/matrix.ts";
import type { Shape } from "../base/shape.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import {
  isKernelApart,
  isLowRank,
  kernelProduct,
  lycorisFieldInfo,
  lycorisFields,
  lycorisScale,
} from "./lycorisConfig.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { tunerMethod } from "./tuner/tuner.ts";

const schema = z.looseObject({
  ...lycorisFields,
  decompose_both: z.boolean().default(false),
  decompose_factor: z.int(t("It must be a whole number.")).default(-1),
  init_weights: z
    .union([z.boolean(), z.literal("lycoris")], t('It must be true, false or "lycoris".'))
    .default(true),
});

export type LokrConfig = z.infer<typeof schema>;

export const lokr = tunerMethod<LokrConfig>({
  peftType: "LOKR",
  schema,
  fields: {
    ...lycorisFieldInfo,
    decompose_both: { default: false, meaning: t("The left matrix has factors, too.") },
    decompose_factor: { default: -1, meaning: t("Size of the left matrix; -1 is near the root.") },
    rank_dropout_scale: {
      default: false,
      meaning: t("Rank dropout keeps the scale, in training."),
    },
  },
  defaultTargets: loraTargets,
  suffixes: ["w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2"].map((name) => `lokr_${name}`),
  convolutions: true,
  kinds: ["linear"],
  rank: ({ r }) => r,
  scale: lycorisScale,
  shapes: (module, config, file): Record<string, Shape> => {
    if (module.kind !== "linear") return {};
    const { rank } = lycorisScale(config, module.path, file);
    const [first, second] = blocks(module, config, rank);
    return {
      ...matrixShapes("lokr_w1", first),
      ...(module.kernel ? kernelShapes(module, config, second) : matrixShapes("lokr_w2", second)),
    };
  },
  linear: (module, tensors, { config, file }) => {
    const { rank, scaling } = lycorisScale(config, module.path, file);
    const [first, second] = blocks(module, config, rank);
    const left = readMatrix(tensors, "lokr_w1", { ...first, rank });
    const right = readSecond(module, tensors, { config, block: second, rank });
    return isLowRank(left.rank * right.rank, module)
      ? factored(left, right, scaling)
      : dense(left, right, scaling);
  },
});

interface Block {
  readonly out: number;
  readonly in: number;
}

/** A matrix that is stored as two factors of a rank, or, null, as it is: it is too small for factors. */
interface StoredBlock extends Block {
  readonly rank: number | null;
}

/** w1 and w2 as they are stored: both sides of the layer are split into two divisors. */
export function blocks(
  module: LinearModule,
  { decompose_factor: factor, decompose_both: isFirstCut }: LokrConfig,
  rank: number,
): [StoredBlock, StoredBlock] {
  const [out1, out2] = divisors(module.out, factor);
  const [in1, in2] = divisors(module.kernel?.[0] ?? module.in, factor);
  const cut = (block: Block): number | null =>
    rank >= Math.max(block.out, block.in) / 2 ? null : rank;
  const [first, second] = [
    { out: out1, in: in1 },
    { out: out2, in: in2 },
  ];
  return [
    { ...first, rank: isFirstCut ? cut(first) : null },
    { ...second, rank: cut(second) },
  ];
}

/** The pair of divisors nearest to each other, the first not above `factor` (PEFT factorization). */
function divisors(dimension: number, factor: number): [number, number] {
  if (factor > 0 && dimension % factor === 0) return [factor, dimension / factor];
  const limit = factor === -1 ? dimension : factor;
  let pair: [number, number] = [1, dimension];
  for (let first = 2; first <= limit && pair[0] < pair[1]; first++) {
    if (dimension % first === 0) pair = [first, dimension / first];
  }
  return [Math.min(...pair), Math.max(...pair)];
}

function matrixShapes(name: string, block: StoredBlock): Record<string, Shape> {
  const { rank } = block;
  return rank === null
    ? { [name]: [block.out, block.in] }
    : { [`${name}_a`]: [block.out, rank], [`${name}_b`]: [rank, block.in] };
}

type Convolution = LinearModule & { kernel?: readonly [number, number, number] };

/** Shapes of w2 where it has the kernel, too. */
function kernelShapes(
  module: Convolution,
  config: LokrConfig,
  block: StoredBlock,
): Record<string, Shape> {
  const [, height = 1, width = 1] = module.kernel ?? [];
  const { rank } = block;
  if (rank === null) return { lokr_w2: [block.out, block.in, height, width] };
  if (!isKernelApart(module, config)) {
    return { lokr_w2_a: [block.out, rank], lokr_w2_b: [rank, block.in * height * width] };
  }
  return {
    lokr_t2: [rank, rank, height, width],
    lokr_w2_a: [rank, block.out],
    lokr_w2_b: [rank, block.in],
  };
}

/** w2 as a matrix, of a convolution [out, in · height · width]. */
function readSecond(
  module: Convolution,
  tensors: ModuleTensors,
  { config, block, rank }: { config: LokrConfig; block: Block; rank: number },
): Factored {
  const [, height = 1, width = 1] = module.kernel ?? [];
  const pixels = height * width;
  const whole = { out: block.out, in: block.in * pixels };
  if (!isKernelApart(module, config) || tensors.has("lokr_w2")) {
    return readMatrix(tensors, "lokr_w2", { ...whole, rank });
  }
  const [t, a, b] = ["lokr_t2", "lokr_w2_a", "lokr_w2_b"].map((name) => tensors.values(name));
  const full = kernelProduct(
    { t: t as Float32Array, a: a as Float32Array, b: b as Float32Array },
    { rank, pixels },
  );
  return asFactors(full, whole);
}

/** A matrix [out, in] as left [out, rank] · right [rank, in]. */
interface Factored extends Block {
  readonly left: Float32Array;
  readonly right: Float32Array;
  readonly rank: number;
}

function readMatrix(
  tensors: ModuleTensors,
  name: string,
  block: Block & { rank: number },
): Factored {
  if (!tensors.has(name)) {
    return { ...block, left: tensors.values(`${name}_a`), right: tensors.values(`${name}_b`) };
  }
  return asFactors(tensors.values(name), block);
}

function asFactors(full: Float32Array, { out, in: inputs }: Block): Factored {
  const block = { out, in: inputs };
  // The identity is the other factor, on the smaller side.
  const rank = Math.min(block.out, block.in);
  const identity = Float32Array.from({ length: rank * rank }, (_, i) =>
    i % (rank + 1) === 0 ? 1 : 0,
  );
  return block.in <= block.out
    ? { ...block, left: full, right: identity, rank }
    : { ...block, left: identity, right: full, rank };
}

function factored(w1: Factored, w2: Factored, scaling: number): LinearEffect {
  const b = kronecker(w1.left, w2.left, { rows: w2.out, columns: w2.rank, aColumns: w1.rank });
  const a = kronecker(w1.right, w2.right, { rows: w2.rank, columns: w2.in, aColumns: w1.in });
  return {
    lowRank: {
      a: Float32Array.from(a),
      b: Float32Array.from(b, (value) => scaling * value),
      rank: w1.rank * w2.rank,
    },
  };
}

function dense(w1: Factored, w2: Factored, scaling: number): LinearEffect {
  const product = ({ left, right, out, rank, in: inputs }: Factored): Float64Array =>
    multiply(left, right, { rows: out, inner: rank, columns: inputs });
  const delta = kronecker(product(w1), product(w2), {
    rows: w2.out,
    columns: w2.in,
    aColumns: w1.in,
  });
  return { delta: Float32Array.from(delta, (value) => scaling * value) };
}
