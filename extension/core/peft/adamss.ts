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
import { multiply, orthonormalColumns, symmetricEigen, transposed } from "../base/matrix.ts";
import { misfit } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import { torchGenerator } from "../base/torchRandom.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const projection = "adamss_newB";

const schema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(100),
  num_subspaces: wholeNumber.default(5),
  subspace_rank: wholeNumber.default(1),
  random_seed: z.int().default(0),
});

type AdamssConfig = z.infer<typeof schema>;

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
function extent({ in: inputs, out, hasBias }: LinearModule): { rows: number; columns: number } {
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

/** The cluster of each output feature (PEFT tuners/adamss/utils.py). */
async function clustersOf(
  module: LinearModule,
  clusters: number,
  context: TunerContext<AdamssConfig>,
): Promise<Int32Array> {
  const { rows, columns } = extent(module);
  const rank = Math.min(context.config.r, rows, columns);
  const weight = await context.weight(module);
  const bias = await context.bias(module);
  const matrix = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    matrix.set(weight.subarray(row * module.in, (row + 1) * module.in), row * columns);
    if (module.hasBias) matrix[row * columns + module.in] = bias?.[row] ?? 0;
  }
  const left = leftSingularVectors(
    matrix,
    { rows, columns },
    { rank, seed: context.config.random_seed },
  );
  const options = { clusters, iterations: 10, seed: 123_456_789 };
  return kMeans(left, { count: rows, width: rank }, options);
}

/** U [rows, rank] of torch.svd_lowrank(matrix, rank, niter=2), up to the columns' signs. */
function leftSingularVectors(
  matrix: Float64Array,
  { rows, columns }: { rows: number; columns: number },
  { rank, seed }: { rank: number; seed: number },
): Float64Array {
  const isWide = rows < columns;
  const [tall, wide] = [matrix, transposed(matrix, rows, columns)];
  // torch turns a wide matrix round; a and at are the tall one [long, short] and its transpose.
  const [a, at] = isWide ? [wide, tall] : [tall, wide];
  const [long, short] = [Math.max(rows, columns), Math.min(rows, columns)];
  const down = { rows: long, inner: short, columns: rank };
  const up = { rows: short, inner: long, columns: rank };
  const start = torchGenerator(seed).normal(short * rank);
  let q = orthonormalColumns(multiply(a, start, down), long, rank);
  for (let i = 0; i < 2; i++) {
    const p = orthonormalColumns(multiply(at, q, up), short, rank);
    q = orthonormalColumns(multiply(a, p, down), long, rank);
  }
  // Bᵀ = aᵀ Q [short, rank]; its Gram matrix B Bᵀ gives B's left vectors and singular values.
  const b = multiply(at, q, up);
  const gram = multiply(transposed(b, short, rank), b, { rows: rank, inner: short, columns: rank });
  const { values, vectors } = symmetricEigen(gram, rank);
  if (!isWide) return multiply(q, vectors, { rows: long, inner: rank, columns: rank });
  const right = multiply(b, vectors, { rows: short, inner: rank, columns: rank });
  return right.map((value, i) => value / Math.sqrt(values[i % rank] as number));
}
