/**
 * Intruder dimensions of a LoRA damped (https://arxiv.org/abs/2410.21228; PEFT
 * tuners/lora/intruders.py): left singular vectors of W + s B A among the `topK` largest that are
 * like no left singular vector of W. What they carry is multiplied by `mitigation`, and the update is
 * cut to its rank again, its singular values shared between both factors.
 */
import { t } from "@vscode/l10n";
import { badRequest, misfit } from "../../base/errors.ts";
import { dot } from "../../base/matrix.ts";
import { pause } from "../../base/pause.ts";
import { singularVectors } from "../../base/svd.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import { type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import type { TensorData } from "../../safetensors/write.ts";
import { type Factors, joined, leading, padded, productOf, truncated } from "../combine/factors.ts";
import { replicatedLayers } from "../loraConfig.ts";
import type { MethodBase } from "../method.ts";
import {
  type ConvertedAdapter,
  type ConvertedModule,
  type ConvertOptions,
  factorTensors,
} from "./converted.ts";
import { squaredDistance, squaredNorm } from "./plainFactors.ts";
import { biasTensor, editedConfig, type LoraModule, notPlain, openLora } from "./loraAdapter.ts";

export interface IntruderOptions {
  readonly topK: number;
  readonly threshold: number;
  readonly mitigation: number;
}

/** PEFT's defaults where nothing is given. @throws bad-request naming a value that is out of range */
export function intruderOptions(given: {
  [K in keyof IntruderOptions]?: IntruderOptions[K] | undefined;
}): IntruderOptions {
  const { topK = 10, threshold = 0.5, mitigation = 0.75 } = given;
  if (!Number.isInteger(topK) || topK < 1) {
    throw badRequest(t("topK is {0}, it must be a whole number of at least 1.", topK));
  }
  if (!(threshold >= 0 && threshold <= 1)) {
    throw badRequest(t("threshold is {0}, it must be from 0 to 1.", threshold));
  }
  if (!Number.isFinite(mitigation)) throw badRequest(t("mitigation is {0}.", mitigation));
  return { topK, threshold, mitigation };
}

/** Makes the tensors and the config of the mitigated LoRA; nothing is written. */
export async function reduceIntruders(
  { checkpoint, base: bare }: { checkpoint: AdapterCheckpoint; base: MethodBase },
  { onProgress, signal, ...options }: ConvertOptions & IntruderOptions,
): Promise<ConvertedAdapter> {
  const adapter = await openLora(checkpoint, { refused: notPlain, signal });
  const layers = replicatedLayers(adapter.config, bare, checkpoint.config.file);
  const base = layers ? bare.withLayers(layers) : bare;
  const modules: ConvertedModule[] = [];
  const tensors: TensorData[] = [...adapter.others];
  const found: string[] = [];
  for (const [done, module] of adapter.modules.entries()) {
    const total = adapter.modules.length;
    onProgress?.({ step: t("Looking for intruders"), done, total, unit: "items" });
    await pause(signal);
    const weight = await baseWeight(module, base, signal);
    const intruders = intrudersOf(module, weight, options);
    const factors = intruders ? mitigated(module, intruders, options) : module.factors;
    if (intruders) found.push(`${module.path} (${intruders.rank})`);
    modules.push(changeOf(module, factors));
    tensors.push(...factorTensors(module.path, module.kind, factors));
    if (module.bias) tensors.push(biasTensor(module, module.bias));
  }
  const text =
    found.length === 0
      ? t(
          "None of {0} modules has an intruder dimension: the adapter stays as it is.",
          modules.length,
        )
      : t(
          "{0} of {1} modules had intruder dimensions: {2}.",
          found.length,
          modules.length,
          found.join(", "),
        );
  return { tensors, configText: editedConfig(checkpoint, {}), modules, warnings: [text] };
}

/** The base's weight of a module; a table stands as [tokens, dim]. */
async function baseWeight(
  { path, kind, factors: { inputs, out } }: LoraModule,
  { tree, readTensor }: MethodBase,
  signal: AbortSignal | undefined,
): Promise<{ values: Float32Array; rows: number; columns: number }> {
  const module: ModuleInfo | undefined = tree.modules.find((each) => each.path === path);
  const values = module && (await readTensor(weightName(module), signal));
  const [rows, columns] = kind === "embedding" ? [inputs, out] : [out, inputs];
  if (values?.length === rows * columns) return { values, rows, columns };
  throw misfit(
    t("The base has no {0} of {1} × {2}, on which the adapter has factors.", path, rows, columns),
  );
}

/** The part of W + s B A that intruders carry, as an update [out, inputs]; null where there is none. */
function intrudersOf(
  module: LoraModule,
  weight: { values: Float32Array; rows: number; columns: number },
  { topK, threshold }: IntruderOptions,
): Factors | null {
  const { factors, scaling } = module;
  const { rows, columns } = weight;
  if (scaling === 0) return null;
  const own = module.kind === "embedding" ? swapped(factors) : factors;
  const update = productOf(own).map((value) => scaling * value);
  const { merged, likeness } = mergedDirections(weight, update, topK);
  const count = merged.rank;
  const intruders = likeness.flatMap((likest, r) => (likest < threshold ? r : []));
  if (intruders.length === 0) return null;
  const rank = intruders.length;
  const b = new Float32Array(rows * rank);
  const a = new Float32Array(rank * columns);
  intruders.forEach((r, to) => {
    a.set(merged.a.subarray(r * columns, (r + 1) * columns), to * columns);
    for (let i = 0; i < rows; i++) b[i * rank + to] = at(merged.b, i * count + r);
  });
  const part = { a, b, rank, inputs: columns, out: rows };
  return module.kind === "embedding" ? swapped(part) : part;
}

/**
 * The `topK` largest directions of W + ΔW, and of each the largest |cosine| of its left vector to one
 * of W's own, of which there are as many as W has rows or columns: a whole decomposition.
 */
export function mergedDirections(
  { values, rows, columns }: { values: Float32Array; rows: number; columns: number },
  update: Float32Array,
  topK: number,
): { merged: Factors; likeness: number[] } {
  const sum = values.map((value, i) => value + (update[i] as number));
  const count = Math.min(topK, rows, columns);
  const merged = leading(sum, { rows, columns, rank: count });
  const all = singularVectors(values, { rows, columns, count: Math.min(rows, columns) }).left;
  const likeness = Array.from({ length: count }, (_, r) => {
    const direction = unit(
      Float64Array.from({ length: rows }, (__, i) => at(merged.b, i * count + r)),
    );
    return all.reduce((most, known) => Math.max(most, Math.abs(dot(direction, known))), 0);
  });
  return { merged, likeness };
}

/** B A + (mitigation − 1) / s · intruders, cut to the module's rank. */
function mitigated(
  { factors, scaling }: LoraModule,
  intruders: Factors,
  { mitigation }: IntruderOptions,
): Factors {
  const share = (mitigation - 1) / scaling;
  const sum = joined([factors, { ...intruders, b: intruders.b.map((value) => share * value) }]);
  const { rank } = factors;
  return balanced(padded(truncated(sum, rank), rank));
}

/** Both factors with the roots of the singular values, which B alone has. */
function balanced(factors: Factors): Factors {
  const { a, b, rank, inputs } = factors;
  const roots = Float64Array.from({ length: rank }, (_, r) => {
    let sum = 0;
    for (let i = r; i < b.length; i += rank) sum += at(b, i) ** 2;
    return sum ** 0.25;
  });
  return {
    ...factors,
    a: a.map((value, i) => value * (roots[Math.floor(i / inputs)] as number)),
    b: b.map((value, i) => value / (roots[i % rank] || 1)),
  };
}

/** The factors of the transposed update. */
function swapped({ a, b, rank, inputs, out }: Factors): Factors {
  const turn = (values: Float32Array, rows: number, columns: number): Float32Array =>
    Float32Array.from({ length: rows * columns }, (_, i) =>
      at(values, (i % rows) * columns + Math.floor(i / rows)),
    );
  return { a: turn(b, out, rank), b: turn(a, rank, inputs), rank, inputs: out, out: inputs };
}

function unit(vector: Float64Array): Float64Array {
  const length = Math.sqrt(dot(vector, vector)) || 1;
  return vector.map((value) => value / length);
}

/** How far a module's update moved. */
function changeOf({ path, factors, scaling }: LoraModule, now: Factors): ConvertedModule {
  const square = scaling ** 2;
  const lost = now === factors ? 0 : squaredDistance(now, factors) * square;
  return { path, rank: now.rank, total: squaredNorm(factors) * square, lost };
}

function at(values: ArrayLike<number>, i: number): number {
  return values[i] as number;
}
