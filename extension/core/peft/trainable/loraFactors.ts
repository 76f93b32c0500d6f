/**
 * Factors that begin with directions of a layer's weight, of its gradient or of its inputs (PEFT
 * tuners/lora/layer.py). Singular vectors and Q have signs of their own; of each pair of factors both
 * turn together, which neither the update nor Adam can tell.
 */
import { t } from "@vscode/l10n";
import { badRequest, misfit, unsupported } from "../../base/errors.ts";
import { lowRankSvd, productsOf } from "../../base/lowRankSvd.ts";
import { singularPart } from "../../base/singular.ts";
import { type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import type { LowRank } from "../effect.ts";
import { takenFromBase, type WeightReader } from "../loraBase.ts";
import type { LoraConfig } from "../loraConfig.ts";
import { preparationConfig } from "../loraPreparations.ts";
import { cordaFactors } from "./corda.ts";
import { loraGaFactors } from "./loraGa.ts";
import type { BeginningData } from "./trainable.ts";
import type { Beginning } from "./tuner.ts";

/** A [rank, in] and B [out, rank]. */
interface Pair {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** A and B of initialisations that take them out of the base. */
export async function factorsOf(
  module: LinearModule,
  at: Beginning<LoraConfig>,
  { rank, scaling }: { rank: number; scaling: number },
): Promise<Pair> {
  const { config, file } = at;
  const init = String(config.init_lora_weights);
  const request = { in: module.in, out: module.out, rank, scaling };
  const iterations = /^pissa_niter_(\d+)$/.exec(init)?.[1];
  if (iterations !== undefined) return randomisedPissa(module, at, { ...request, iterations });
  if (init === "corda") {
    const data = dataOf(at);
    const { corda_method: method } = preparationConfig("corda", { raw: config, file });
    const covariance = await data.covariance(module.path);
    return cordaFactors(await readWeight(module, at), covariance, { ...request, method });
  }
  if (init === "lora_ga") {
    checkTwice(request, { init, file, path: module.path });
    const gradient = await dataOf(at).gradient(module.path);
    return loraGaFactors(gradient, {
      ...request,
      config: preparationConfig("lora_ga", { raw: config, file }),
      firstSize: module.isTransposed ? module.in : module.out,
      random: at.random,
      weight: () => readWeight(module, at),
    });
  }
  const taken = await takenFromBase(module, readerOf(at));
  if (!taken)
    throw unsupported(t('{0}: Graft does not begin with init_lora_weights "{1}"', file, init));
  return init === "olora" ? unscaled(taken, scaling) : balanced(taken, scaling);
}

/** LoRA-GA parts twice as many directions among both factors. @throws misfit where there are not so many */
function checkTwice(
  { in: columns, out, rank }: { in: number; out: number; rank: number },
  at: { init: string; file: string; path: string },
): void {
  if (2 * rank <= Math.min(columns, out)) return;
  throw misfit(
    t(
      '{0}: init_lora_weights "{1}" with rank {2} needs {3} directions, {4} has {5}.',
      at.file,
      at.init,
      rank,
      2 * rank,
      at.path,
      Math.min(columns, out),
    ),
  );
}

/** The largest directions of W as a randomised decomposition finds them, from the same draws. */
async function randomisedPissa(
  module: LinearModule,
  at: Beginning<LoraConfig>,
  request: { in: number; out: number; rank: number; scaling: number; iterations: string },
): Promise<Pair> {
  const { in: columns, out: rows, rank, scaling } = request;
  const size = { rows, columns };
  const { u, s, v } = await lowRankSvd(productsOf(await readWeight(module, at), size), {
    ...size,
    q: rank,
    iterations: Number(request.iterations),
    draw: (count) => at.random.normal(count),
  });
  const roots = s.map((value) => Math.sqrt(value / scaling));
  return {
    a: Float32Array.from(v, (value, i) => value * (roots[Math.floor(i / columns)] as number)),
    b: Float32Array.from(u, (value, i) => value * (roots[i % rank] as number)),
  };
}

function dataOf({ data, config, file }: Beginning<LoraConfig>): BeginningData {
  if (data !== undefined && data !== "restored") return data;
  throw badRequest(
    t(
      '{0}: init_lora_weights "{1}" begins with training data, and none were given.',
      file,
      config.init_lora_weights,
    ),
  );
}

/** Factors of the part −s B A that was taken, each singular value shared out by its root (pissa_init). */
function balanced(taken: LowRank, scaling: number): Pair {
  const { a, b, rank } = taken;
  const [columns, rows] = [a.length / rank, b.length / rank];
  const out = { a: Float32Array.from(a), b: Float32Array.from(b) };
  for (let r = 0; r < rank; r++) {
    let [lengthA, lengthB] = [0, 0];
    for (let i = 0; i < columns; i++) lengthA += (a[r * columns + i] as number) ** 2;
    for (let i = 0; i < rows; i++) lengthB += (b[i * rank + r] as number) ** 2;
    [lengthA, lengthB] = [Math.sqrt(lengthA), Math.sqrt(lengthB)];
    const root = Math.sqrt((lengthA * lengthB) / scaling);
    for (let i = 0; i < columns; i++) {
      out.a[r * columns + i] =
        lengthA === 0 ? 0 : ((a[r * columns + i] as number) * root) / lengthA;
    }
    for (let i = 0; i < rows; i++) {
      out.b[i * rank + r] = lengthB === 0 ? 0 : (-(b[i * rank + r] as number) * root) / lengthB;
    }
  }
  return out;
}

/** Q and R of what was taken, −s Q R. */
function unscaled({ a, b }: LowRank, scaling: number): Pair {
  return { a, b: b.map((value) => -value / scaling) };
}

/** Left singular vectors of the smallest singular values, [out, rank]. */
export async function minorDirections(
  module: LinearModule,
  at: Beginning<LoraConfig>,
  rank: number,
): Promise<Float32Array> {
  const weight = await readWeight(module, at);
  return leftVectors(weight, { rows: module.out, columns: module.in, rank });
}

/** Unit left vectors [rows, rank] of a matrix's smallest singular values, the smallest last. */
export function leftVectors(
  matrix: Float32Array,
  { rows, columns, rank }: { rows: number; columns: number; rank: number },
): Float32Array {
  const { left } = singularPart(matrix, { rows, columns, count: rank, end: "smallest" });
  // PEFT's smallest come last.
  const out = new Float32Array(left.length);
  for (let r = 0; r < rank; r++) {
    let length = 0;
    for (let i = 0; i < rows; i++) length += (left[i * rank + r] as number) ** 2;
    length = Math.sqrt(length);
    for (let i = 0; i < rows; i++) {
      out[i * rank + rank - 1 - r] = length === 0 ? 0 : (left[i * rank + r] as number) / length;
    }
  }
  return out;
}

export function readerOf(at: Beginning<LoraConfig>): WeightReader {
  return { config: at.config, file: at.file, weight: (module) => readWeight(module, at) };
}

/** A module's weight in fp32 as it is stored. @throws misfit when the base has none */
export async function readWeight(
  module: ModuleInfo,
  { base, signal }: Pick<Beginning<LoraConfig>, "base" | "signal">,
): Promise<Float32Array> {
  const name = weightName(module);
  const weight = await base.readTensor(name, signal);
  if (!weight) throw misfit(t('The base has no tensor "{0}", which the adapter needs.', name));
  return weight;
}
