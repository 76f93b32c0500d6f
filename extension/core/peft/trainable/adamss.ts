/**
 * AdaMSS (PEFT tuners/adamss/layer.py): rows of W fall into clusters, each with Δ = B A Vᵀ in the space of
 * W's leading right singular vectors V. The file has V, and PEFT finds the same clusters again from the
 * base (../adamss.ts); signs of V go into A and cancel.
 */
import { t } from "@vscode/l10n";
import { type GraftError, misfit } from "../../base/errors.ts";
import { householderBasis } from "../../base/householder.ts";
import { multiply, type Multiply, symmetricEigen, transposed } from "../../base/matrix.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import {
  adamss as method,
  type AdamssConfig,
  extent,
  lowRankVectors,
  principal,
  projection,
  rowClusters,
  type Vectors,
} from "../adamss.ts";
import type { MethodBase } from "../method.ts";
import { clusterAllocator, type ClusterSchedule } from "./clusterAllocator.ts";
import { pick, slice } from "./algebra.ts";
import { eachModule } from "./eachModule.ts";
import { normal, zeros } from "./draws.ts";
import {
  moduleForm,
  numberOf,
  type OwnTensor,
  type ReadContext,
  type Settings,
} from "./moduleForm.ts";
import { peftPrefix } from "./parameters.ts";
import { badField } from "./refuse.ts";

/** What a layer's weight says. */
interface Found {
  readonly vectors: Vectors;
  /** Rows of W by cluster. */
  readonly clusters: readonly (readonly number[])[];
  readonly ranks: readonly number[];
}

/** By base and what the clusters follow from: shapes are asked for more than once. */
const known = new WeakMap<MethodBase, Map<string, Found>>();

/** The same of bases that are measured with. */
const measured = new WeakMap<MethodBase, Map<string, Found>>();

function keyOf({ path }: LinearModule, config: AdamssConfig): string {
  const { r, num_subspaces: clusters, subspace_rank: rank, random_seed: seed } = config;
  const isDynamic = config["use_dynamic_rank"] === true;
  return JSON.stringify([path, r, clusters, rank, seed, isDynamic && threshold(config)]);
}

/** Every plan has a config object of its own. */
const baseOf = new WeakMap<AdamssConfig, MethodBase>();

function foundOf(module: LinearModule, { config }: { config: AdamssConfig }): Found {
  const base = baseOf.get(config);
  const key = keyOf(module, config);
  const found = base && (known.get(base)?.get(key) ?? measured.get(base)?.get(key));
  if (!found) throw new Error(`${module.path} was not looked at`);
  return found;
}

function threshold(config: AdamssConfig): number {
  return numberOf(config, "svd_threshold", 0.1);
}

/** Rows of some of the left vectors [rows, rank]. */
function rowsOf({ left, rank }: Vectors, rows: readonly number[]): Float64Array {
  const out = new Float64Array(rows.length * rank);
  rows.forEach((row, i) => out.set(left.subarray(row * rank, (row + 1) * rank), i * rank));
  return out;
}

/** Z Zᵀ [n, n] of rows [n, rank]. */
function gramOf(
  rows: Float64Array,
  { count, rank }: { count: number; rank: number },
  product: Multiply,
): Promise<Float64Array> {
  const size = { rows: count, inner: rank, columns: count };
  return product(rows, transposed(rows, count, rank), size);
}

function productOf({ multiply: own }: MethodBase): Multiply {
  return own ?? ((a, b, size) => Promise.resolve(multiply(a, b, size)));
}

/** How many directions a cluster's update has; `use_dynamic_rank` counts its large singular values. */
async function rankFor(
  rows: Float64Array,
  { count, rank, product }: { count: number; rank: number; product: Multiply },
  config: AdamssConfig,
): Promise<number> {
  const limit = Math.min(count, config.subspace_rank);
  if (config["use_dynamic_rank"] !== true) return limit;
  const { values } = symmetricEigen(await gramOf(rows, { count, rank }, product), count);
  const least = threshold(config) * (values[0] ?? 0);
  return Math.max(1, Math.min(values.filter((value) => value > least).length, limit));
}

/** Rows of an orthogonal matrix are equally far from one another. */
function withoutClusters(
  { path, out }: LinearModule,
  { config, file }: { config: AdamssConfig; file: string },
): GraftError {
  return misfit(
    t(
      '{0}: field "r" is {1}, and {2} has {3} outputs: with as many directions its rows form no clusters, and PEFT would find others each time. Choose a smaller r.',
      file,
      config.r,
      path,
      out,
    ),
    { file, field: "r" },
  );
}

async function look(
  module: LinearModule,
  { config, base, weight, bias }: ReadContext<AdamssConfig>,
): Promise<Found> {
  const product = productOf(base);
  const read = { weight: await weight(module), bias: await bias(module), multiply: product };
  const vectors = await principal(module, read, config);
  const { rank, left } = vectors;
  const count = Math.min(config.num_subspaces, module.out);
  const labels = rowClusters(left, { rows: module.out, rank, clusters: count });
  const clusters = Array.from({ length: count }, (_, cluster) =>
    [...labels.keys()].filter((row) => labels[row] === cluster),
  );
  const ranks: number[] = [];
  for (const rows of clusters) {
    const own = rowsOf(vectors, rows);
    ranks.push(Math.min(rank, await rankFor(own, { count: rows.length, rank, product }, config)));
  }
  return { vectors, clusters, ranks };
}

/** Clusters as large as each other, of a layer that is not looked at. */
function even(module: LinearModule, config: AdamssConfig): Found {
  const { rows, columns } = extent(module);
  const rank = Math.min(config.r, rows, columns);
  const count = Math.min(config.num_subspaces, module.out);
  const clusters = Array.from({ length: count }, (_, cluster) =>
    Array.from({ length: rows }, (__, row) => row).filter((row) => row % count === cluster),
  );
  const none = new Float64Array(0);
  const ranks = clusters.map(({ length }) => Math.min(rank, length, config.subspace_rank));
  return { vectors: { left: none, right: none, rank }, clusters, ranks };
}

/** Six products with the weight, five bases of what they give; ONNX Runtime does most, ten times as quick. */
function cost(module: LinearModule, config: AdamssConfig): number {
  const { rows, columns } = extent(module);
  const rank = Math.min(config.r, rows, columns);
  const products = 6 * rows * columns * rank + 10 * Math.max(rows, columns) * rank ** 2;
  return products / 10 + 5 * rank ** 3;
}

/** A [own, rank]: an orthonormal basis of where a cluster's rows point most (update_layer). */
async function firstA(
  rows: Float64Array,
  { count, rank, own }: { count: number; rank: number; own: number },
  { random, product }: { random: TorchGenerator; product: Multiply },
): Promise<Float32Array> {
  const gram = await gramOf(rows, { count, rank }, product);
  const square = { rows: count, columns: count, rank: own };
  const { left } = await lowRankVectors(gram, square, { random, multiply: product });
  const size = { rows: rank, inner: count, columns: own };
  const basis = householderBasis(multiply(transposed(rows, count, rank), left, size), rank, own);
  return Float32Array.from(transposed(basis, rank, own));
}

function scheduleOf({ config, file }: Settings<AdamssConfig>): ClusterSchedule {
  const positive = (field: string, usual: number): number => {
    const value = numberOf(config, field, usual);
    if (value > 0) return value;
    throw badField(file, field, t("is {0}; it must be above 0", value));
  };
  const from = numberOf(config, "init_warmup", 50);
  const to = numberOf(config, "final_warmup", 1000);
  if (from >= to) throw badField(file, "init_warmup", t("is not below final_warmup, {0}", to));
  return {
    from,
    to,
    target: positive("asa_target_subspaces", 50),
    interval: positive("mask_interval", 100),
    exponent: positive("asa_schedule_exponent", 3),
    importanceBeta: numberOf(config, "asa_importance_beta", 0.85),
    uncertaintyBeta: numberOf(config, "asa_uncertainty_beta", 0.85),
  };
}

export const adamss = moduleForm<AdamssConfig>({
  method,
  check: ({ config, file, base, targets }) => {
    baseOf.set(config, base);
    const even = targets.find((module) => config.r >= module.out);
    if (even) throw withoutClusters(even, { config, file });
    if (config["use_asa"] === true) scheduleOf({ config, file });
  },
  cost,
  look: async (context, work) => {
    const { base, config } = context;
    const found = work.sizesOnly ? measured : known;
    const own = found.get(base) ?? new Map<string, Found>();
    found.set(base, own);
    const fresh = context.targets.filter((module) => !own.has(keyOf(module, config)));
    const at = {
      step: t("Decomposing layers"),
      costOf: (each: LinearModule) => cost(each, config),
      work,
    };
    await eachModule(fresh, at, async (module) => {
      own.set(
        keyOf(module, config),
        work.sizesOnly ? even(module, config) : await look(module, context),
      );
    });
  },
  tensors: (module, context): OwnTensor[] => {
    const { vectors, clusters, ranks } = foundOf(module, context);
    const { rank } = vectors;
    return [
      ...ranks.map((own, i) => ({ suffix: `adamss_A.${i}`, shape: [own, rank] })),
      ...clusters.map(({ length }, i) => ({
        suffix: `adamss_B.${i}`,
        shape: [length, ranks[i] ?? 0],
      })),
      { suffix: projection, shape: [rank, extent(module).columns], isTrained: false },
    ];
  },
  initialize: async (module, context) => {
    const { config, base, random } = context;
    const product = productOf(base);
    const { vectors, clusters, ranks } = foundOf(module, context);
    const { rank, right } = vectors;
    const made: Record<string, Float32Array> = {
      [projection]: Float32Array.from(transposed(right, extent(module).columns, rank)),
    };
    for (const [i, rows] of clusters.entries()) {
      const [count, own] = [rows.length, ranks[i] as number];
      // PEFT finds the dynamic rank by another decomposition, whose draws it does not depend on.
      if (config["use_dynamic_rank"] === true) random.normal(count * count);
      const at = { random, product };
      made[`adamss_A.${i}`] = await firstA(rowsOf(vectors, rows), { count, rank, own }, at);
      const isNeutral =
        (config["init_weights"] === undefined ? "orthogonal" : config["init_weights"]) ===
        "orthogonal";
      const b = isNeutral ? zeros([count, own]) : normal(random, [count, own]);
      made[`adamss_B.${i}`] = b.map((value) => value * 0.01);
    }
    return made;
  },
  allocator: (context, parameters) => {
    if (context.config["use_asa"] !== true) return null;
    const clusters = context.targets.flatMap((module) =>
      foundOf(module, context).clusters.map((_, i): [string, string] => {
        const name = (factor: string): string =>
          `${peftPrefix}${module.path}.adamss_${factor}.${i}`;
        return [name("A"), name("B")];
      }),
    );
    return clusterAllocator(clusters, scheduleOf(context), parameters);
  },
  remarks: ({ config }, steps) => {
    const end = numberOf(config, "final_warmup", 1000);
    if (config["use_asa"] !== true || end < steps) return [];
    return [
      t(
        "final_warmup is {0}, and this run has {1} steps: not as many clusters stop learning as asa_target_subspaces says.",
        end,
        steps,
      ),
    ];
  },
  forward: (g, { module, config, x, base, own }) => {
    const { clusters } = foundOf(module, { config });
    const { columns } = extent(module);
    // The base's bias is the last column, where x would have a one.
    const weight = slice(g, own(projection), { from: 0, to: module.in, axis: 1 });
    const bias = slice(g, own(projection), { from: module.in, to: columns, axis: 1 });
    const inner = g.matMulTransposed(x, weight);
    const projected = module.hasBias ? g.add(inner, g.reshape(bias, [-1])) : inner;
    const parts = clusters.map((_, i) =>
      g.matMulTransposed(g.matMulTransposed(projected, own(`adamss_A.${i}`)), own(`adamss_B.${i}`)),
    );
    const places = new Int32Array(module.out);
    clusters.flat().forEach((row, place) => (places[row] = place));
    const name = `adamss.${module.path}`;
    return g.add(base(x), pick(g, g.concat(parts, -1), { name, places }));
  },
});
