/**
 * AdaMSS (https://arxiv.org/abs/2505.21040; PEFT tuners/adamss): the rows of W fall into clusters,
 * each with a low-rank update in the space of W's leading right singular vectors V,
 *
 *     Δ[rows of cluster i] = B_i A_i Vᵀ
 *
 * V (`newB`, with a column for the bias where the base has one) is stored; the clusters are not:
 * k-means over the left singular vectors finds them again, from a randomized SVD
 * (torch.svd_lowrank, two power iterations) and a row choice that are both seeded. Neither the
 * basis nor the vectors' signs matter to the clusters, so fp64 and another QR give the same ones.
 * Run time: the low-rank path.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { kMeans } from "../base/kMeans.ts";
import { multiply, type Multiply, symmetricEigen, transposed } from "../base/matrix.ts";
import { quickBasis } from "../base/quickBasis.ts";
import { misfit } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import { type TorchGenerator, torchGenerator } from "../base/torchRandom.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

export const projection = "adamss_newB";

const schema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(100),
  num_subspaces: wholeNumber.default(5),
  subspace_rank: wholeNumber.default(1),
  random_seed: z.int().default(0),
});

export type AdamssConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  r: { default: 100, meaning: t("Singular directions of each weight that updates live in.") },
  num_subspaces: { default: 5, meaning: t("Clusters of output features.") },
  subspace_rank: { default: 1, meaning: t("Largest rank of each cluster's update.") },
  init_weights: { default: "orthogonal", meaning: t("How the factors were initialised.") },
  use_asa: { default: false, meaning: t("Training dropped clusters that matter little.") },
  asa_target_subspaces: {
    default: 50,
    meaning: t("Clusters that were to stay, over all modules."),
  },
  init_warmup: { default: 50, meaning: t("Training steps before clusters were dropped.") },
  final_warmup: { default: 1000, meaning: t("Training step at which dropping ended.") },
  mask_interval: { default: 100, meaning: t("Training steps between decisions.") },
  asa_importance_beta: { default: 0.85, meaning: t("Smoothing of importance in training.") },
  asa_uncertainty_beta: { default: 0.85, meaning: t("Smoothing of uncertainty in training.") },
  asa_schedule_exponent: { default: 3, meaning: t("How fast clusters were dropped.") },
  use_dynamic_rank: { default: false, meaning: t("Each cluster chose its own rank.") },
  svd_threshold: {
    default: 0.1,
    meaning: t("Share of the largest singular value that still counts."),
  },
  random_seed: { default: 0, meaning: t("Seed of the decomposition that finds the clusters.") },
};

export const adamss = tunerMethod<AdamssConfig>({
  peftType: "ADAMSS",
  schema,
  fields,
  defaultTargets: (modelType) =>
    modelType === "vit" ? ["query", "value"] : loraTargets(modelType),
  suffixes: [projection],
  suffixPattern: /\.adamss_[AB]\.\d+$/,
  frozen: [projection],
  kinds: ["linear"],
  rank: (config) => config.subspace_rank,
  shapes,
  linear: linearEffect,
});

/** Rows and columns of the matrix that is decomposed: the bias is its last column. */
export function extent({ in: inputs, out, hasBias }: LinearModule): {
  rows: number;
  columns: number;
} {
  return { rows: out, columns: inputs + (hasBias ? 1 : 0) };
}

function shapes(module: ModuleInfo, config: AdamssConfig): Record<string, Shape> {
  if (module.kind !== "linear") return {};
  const { rows, columns } = extent(module);
  const rank = Math.min(config.r, rows, columns);
  const found: Record<string, Shape> = { [projection]: [rank, columns] };
  for (let i = 0; i < Math.min(config.num_subspaces, module.out); i++) {
    found[`adamss_A.${i}`] = [-1, rank];
    found[`adamss_B.${i}`] = [-1, -1];
  }
  return found;
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<AdamssConfig>,
): Promise<LinearEffect> {
  const { columns } = extent(module);
  const clusters = Math.min(context.config.num_subspaces, module.out);
  const labels = await clustersOf(module, clusters, context);
  const inner = tensors.shape(projection)[0] as number;
  const ranks = Array.from({ length: clusters }, (_, i) => tensors.shape(`adamss_A.${i}`)[0] ?? 0);
  const rank = ranks.reduce((sum, own) => sum + own, 0);
  const a = new Float32Array(rank * columns);
  const b = new Float32Array(module.out * rank);
  let first = 0;
  ranks.forEach((own, cluster) => {
    const size = { rows: own, inner, columns };
    a.set(
      multiply(tensors.values(`adamss_A.${cluster}`), tensors.values(projection), size),
      first * columns,
    );
    const rows = [...labels.keys()].filter((row) => labels[row] === cluster);
    const suffix = `adamss_B.${cluster}`;
    if (tensors.shape(suffix)[0] !== rows.length || tensors.shape(suffix)[1] !== own) {
      throw clustersDiffer(module, { cluster, found: rows.length, tensors, context });
    }
    const values = tensors.values(suffix);
    rows.forEach((row, i) => b.set(values.subarray(i * own, (i + 1) * own), row * rank + first));
    first += own;
  });
  return withoutBiasColumn(module, { a, b, rank });
}

function clustersDiffer(
  module: LinearModule,
  at: {
    cluster: number;
    found: number;
    tensors: ModuleTensors;
    context: TunerContext<AdamssConfig>;
  },
): Error {
  const stored = at.tensors.shape(`adamss_B.${at.cluster}`).join(" x ");
  return misfit(
    t(
      "{0}: cluster {1} of {2} has {3} rows on this base, the adapter holds {4}. AdaMSS finds clusters in the base's weights: they must be those that the adapter was trained on.",
      at.context.file,
      at.cluster,
      module.path,
      at.found,
      stored,
    ),
    { file: at.context.file, module: module.path },
  );
}

/** Splits A's last column off where it meets the bias: B times it is a shift. */
function withoutBiasColumn(
  module: LinearModule,
  { a, b, rank }: { a: Float32Array; b: Float32Array; rank: number },
): LinearEffect {
  if (!module.hasBias) return { lowRank: { a, b, rank } };
  const columns = module.in + 1;
  const ofBias = Float64Array.from(
    { length: rank },
    (_, r) => a[r * columns + module.in] as number,
  );
  const shift = multiply(b, ofBias, { rows: module.out, inner: rank, columns: 1 });
  const kept = a.filter((_, i) => i % columns !== module.in);
  return { lowRank: { a: kept, b, rank }, shift: Float32Array.from(shift) };
}

/** The cluster of each output feature. */
async function clustersOf(
  module: LinearModule,
  clusters: number,
  context: TunerContext<AdamssConfig>,
): Promise<Int32Array> {
  const [weight, bias] = [await context.weight(module), await context.bias(module)];
  const { multiply: quick } = context.base;
  const own = { weight, bias, multiply: quick };
  const { left, rank } = await principal(module, own, context.config);
  return rowClusters(left, { rows: module.out, rank, clusters });
}

/** Of the rows of left singular vectors [rows, rank] (PEFT tuners/adamss/utils.py, clustering_Z). */
export function rowClusters(
  left: Float64Array,
  { rows, rank, clusters }: { rows: number; rank: number; clusters: number },
): Int32Array {
  const options = { clusters, iterations: 10, seed: 123_456_789 };
  return kMeans(left, { count: rows, width: rank }, options);
}

/** Vectors of a matrix [rows, columns], as columns, up to their signs. */
export interface Vectors {
  /** [rows, rank] */
  readonly left: Float64Array;
  /** [columns, rank] */
  readonly right: Float64Array;
  readonly rank: number;
}

/** Of a layer's weight with its bias as the last column (slice_pca). */
export async function principal(
  module: LinearModule,
  own: { weight: Float32Array; bias: Float32Array | null; multiply?: Multiply | undefined },
  config: AdamssConfig,
): Promise<Vectors> {
  const { weight, bias } = own;
  const { rows, columns } = extent(module);
  const rank = Math.min(config.r, rows, columns);
  const matrix = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    matrix.set(weight.subarray(row * module.in, (row + 1) * module.in), row * columns);
    if (module.hasBias) matrix[row * columns + module.in] = bias?.[row] ?? 0;
  }
  const random = torchGenerator(config.random_seed);
  return lowRankVectors(matrix, { rows, columns, rank }, { random, multiply: own.multiply });
}

/** JavaScript's own product, where a base brings none. */
const usual: Multiply = (a, b, size) => Promise.resolve(multiply(a, b, size));

/** torch.svd_lowrank(matrix, rank, niter=2), up to the columns' signs. */
export async function lowRankVectors(
  matrix: Float64Array,
  { rows, columns, rank }: { rows: number; columns: number; rank: number },
  {
    random,
    multiply: product = usual,
  }: { random: TorchGenerator; multiply?: Multiply | undefined },
): Promise<Vectors> {
  const isWide = rows < columns;
  const [tall, wide] = [matrix, transposed(matrix, rows, columns)];
  // torch turns a wide matrix round; a and at are the tall one [long, short] and its transpose.
  const [a, at] = isWide ? [wide, tall] : [tall, wide];
  const [long, short] = [Math.max(rows, columns), Math.min(rows, columns)];
  const down = { rows: long, inner: short, columns: rank };
  const up = { rows: short, inner: long, columns: rank };
  const start = Float64Array.from(random.normal(short * rank));
  const [nearSize, farSize] = [
    { rows: long, columns: rank },
    { rows: short, columns: rank },
  ];
  let q = await quickBasis(await product(a, start, down), nearSize, product);
  for (let i = 0; i < 2; i++) {
    const p = await quickBasis(await product(at, q, up), farSize, product);
    q = await quickBasis(await product(a, p, down), nearSize, product);
  }
  // Bᵀ = aᵀ Q [short, rank]; its Gram matrix B Bᵀ gives B's left vectors and singular values.
  const b = await product(at, q, up);
  const gramSize = { rows: rank, inner: short, columns: rank };
  const gram = await product(transposed(b, short, rank), b, gramSize);
  const { values, vectors } = symmetricEigen(gram, rank);
  const near = await product(q, vectors, { rows: long, inner: rank, columns: rank });
  const back = await product(b, vectors, { rows: short, inner: rank, columns: rank });
  const far = back.map((value, i) => value / Math.sqrt(values[i % rank] as number));
  return isWide ? { left: far, right: near, rank } : { left: near, right: far, rank };
}
