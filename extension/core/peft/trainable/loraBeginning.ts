/**
 * What LoRA's factors begin with (PEFT tuners/lora/layer.py, update_layer and what it calls), drawn in
 * PEFT's order from torch's generator. Singular vectors and Q have signs of their own; of each pair of
 * factors both turn together, which neither the update nor Adam can tell.
 */
import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../../base/errors.ts";
import { transposed } from "../../base/matrix.ts";
import { singularPart } from "../../base/singular.ts";
import { elementCount, type Shape } from "../../base/shape.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import { type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { addProduct, type LowRank } from "../effect.ts";
import { takenFromBase, type WeightReader } from "../loraBase.ts";
import { isMica, loraBlocks, type LoraConfig, loraScale, usesKasa } from "../loraConfig.ts";
import { columnNorms, rowNorms } from "../norms.ts";
import { magnitudeSuffix } from "./dora.ts";
import { orthogonalFactors } from "./orthogonalFactors.ts";
import type { Beginning } from "./tuner.ts";

type Factors = Record<string, Float32Array>;

/** What an initialisation took out of the base, with the sign of an update: fed, never trained. */
export const takenNames = { a: "taken_A", b: "taken_B" };

/** True for initialisations whose file relies on a base that has lost what the factors hold. */
export function takesFromBase(config: LoraConfig): boolean {
  return usesKasa(config) || ["pissa", "olora"].includes(String(config.init_lora_weights));
}

export async function initializeLora(
  module: ModuleInfo,
  at: Beginning<LoraConfig>,
): Promise<Factors> {
  if (module.kind === "embedding") return initializeTable(module, at);
  if (module.kind === "norm") return {};
  const { config, random, shapes, file } = at;
  const factors = await linearFactors(module, at);
  const blocks = loraBlocks(config, module.path, file);
  // A block's layer is made anew, with PyTorch's own bound √(6 / fan_in).
  if (blocks.a > 1) factors[aName] = uniform(random, shapes[aName] ?? [], 6);
  if (usesKasa(config))
    factors["lora_diag"] = random.normal(elementCount(shapes["lora_diag"] ?? []));
  const taken = takesFromBase(config) ? await takenFromBase(module, readerOf(at)) : null;
  const kept = taken ? { [takenNames.a]: taken.a, [takenNames.b]: taken.b } : {};
  if (!config.use_dora) return { ...factors, ...kept };
  return {
    ...factors,
    ...kept,
    [magnitudeSuffix]: await magnitudes(module, factors, { ...at, taken }),
  };
}

const aName = "lora_A.weight";
const bName = "lora_B.weight";

async function linearFactors(module: LinearModule, at: Beginning<LoraConfig>): Promise<Factors> {
  const { config, random, shapes, file } = at;
  const init = config.init_lora_weights;
  const { rank, scaling } = loraScale(config, module.path, file);
  const plain = initializeFactors(module.path, at);
  if (typeof init === "boolean" || ["gaussian", "eva", "lora_ga"].includes(init)) return plain;
  if (init === "orthogonal") {
    const made = orthogonalFactors(random, { in: module.in, out: module.out, rank });
    if (made === null) {
      throw unsupported(
        t(
          '{0}: init_lora_weights "orthogonal" needs an even rank, {1} has {2}',
          file,
          module.path,
          rank,
        ),
      );
    }
    return { ...plain, [aName]: made.a, [bName]: made.b };
  }
  if (rank > Math.min(module.in, module.out)) {
    throw misfit(
      t(
        '{0}: init_lora_weights "{1}" with rank {2} is more than {3} has, {4} × {5}.',
        file,
        init,
        rank,
        module.path,
        module.out,
        module.in,
      ),
    );
  }
  if (isMica(config)) {
    const b = await minorDirections(module, at, rank);
    return { ...plain, [aName]: new Float32Array(elementCount(shapes[aName] ?? [])), [bName]: b };
  }
  const taken = await takenFromBase(module, readerOf(at));
  if (!taken)
    throw unsupported(t('{0}: Graft does not begin with init_lora_weights "{1}"', file, init));
  const { a, b } = init === "olora" ? unscaled(taken, scaling) : balanced(taken, scaling);
  return { ...plain, [aName]: a, [bName]: b };
}

/** The usual factors of a matrix by the name that patterns match: A is uniform and B is 0, so that the adapter begins as the base. */
export function initializeFactors(
  name: string,
  { config, random, shapes, file }: Beginning<LoraConfig>,
): Factors {
  const init = config.init_lora_weights;
  const [a, b] = denseShapes(shapes, config);
  // Both are made as layers, which draw weights of their own, before LoRA sets them.
  const first = linearWeight(random, a);
  const second = linearWeight(random, b);
  const bias = shapes["lora_B.bias"];
  const drawn = bias ? uniform(random, bias, 1, b[1] ?? 1) : null;
  const zero = new Float32Array(elementCount(shapes[bName] ?? []));
  const zeroBias = bias && { "lora_B.bias": new Float32Array(elementCount(bias)) };
  if (init === false)
    return { [aName]: first, [bName]: second, ...(drawn && { "lora_B.bias": drawn }) };
  if (init === "gaussian") {
    const own = random.normal(elementCount(a), 0, 1 / loraScale(config, name, file).rank);
    return { [aName]: own, [bName]: zero, ...zeroBias };
  }
  if (init !== true && init !== "lora_ga") return { [aName]: first, [bName]: zero };
  return { [aName]: linearWeight(random, a), [bName]: zero, ...zeroBias };
}

/** Shapes of A and B before BD-LoRA cuts one into blocks. */
function denseShapes(
  shapes: Readonly<Record<string, Shape>>,
  { use_bdlora: blocks }: LoraConfig,
): [Shape, Shape] {
  const a = shapes[aName] ?? [];
  const b = shapes[bName] ?? [];
  const [rank = 0] = a;
  if (!blocks || b.length !== 2) return [a, b];
  const isBlockB = b[1] !== rank;
  const isBlockA = !isBlockB && blocks.nblocks > 1 && blocks.target_modules_bd_a.length > 0;
  return [isBlockA ? [rank, (a[1] ?? 0) * blocks.nblocks] : a, [b[0] ?? 0, rank]];
}

/** torch's kaiming_uniform_(a = √5), which nn.Linear and nn.Conv2d begin with: ± 1 / √fan_in. */
export function linearWeight(random: TorchGenerator, shape: Shape): Float32Array {
  return uniform(random, shape, 1);
}

/** ± √(factor / fan_in) */
function uniform(
  random: TorchGenerator,
  shape: Shape,
  factor: number,
  fanIn = elementCount(shape.slice(1)),
): Float32Array {
  const bound = Math.sqrt(factor / fanIn);
  return random.uniform(elementCount(shape), -bound, bound);
}

/** A table's: A is 0 and B is normal; both are drawn once before. */
async function initializeTable(
  module: Extract<ModuleInfo, { kind: "embedding" }>,
  at: Beginning<LoraConfig>,
): Promise<Factors> {
  const { config, random, shapes } = at;
  const sizes = ["lora_embedding_A", "lora_embedding_B"].map((name) =>
    elementCount(shapes[name] ?? []),
  );
  const [sizeA = 0, sizeB = 0] = sizes;
  let [a, b] = [random.normal(sizeA), random.normal(sizeB)];
  if (isMica(config)) {
    a = new Float32Array(sizeA);
    const { rank } = loraScale(config, module.path, at.file);
    const table = await readWeight(module, at);
    const turned = Float32Array.from(transposed(table, module.in, module.out));
    b = leftVectors(turned, { rows: module.out, columns: module.in, rank });
  } else if (config.init_lora_weights !== false && config.init_lora_weights !== "eva") {
    [a, b] = [new Float32Array(sizeA), random.normal(sizeB)];
  }
  const factors = { lora_embedding_A: a, lora_embedding_B: b };
  if (!config.use_dora) return factors;
  const { rank, scaling } = loraScale(config, module.path, at.file);
  const sum = Float64Array.from(await readWeight(module, at));
  // Rows of the table are tokens: T + s Aᵀ Bᵀ.
  const update = {
    a: Float32Array.from(transposed(b, module.out, rank), (value) => value * scaling),
    b: Float32Array.from(transposed(a, rank, module.in)),
    rank,
  };
  addProduct(sum, update, module.out);
  return { ...factors, [magnitudeSuffix]: Float32Array.from(columnNorms(sum, module.out)) };
}

/** ‖W + s B A‖ by rows, W without what was taken. */
async function magnitudes(
  module: LinearModule,
  factors: Factors,
  at: Beginning<LoraConfig> & { taken: LowRank | null },
): Promise<Float32Array> {
  const { rank, scaling } = loraScale(at.config, module.path, at.file);
  const sum = Float64Array.from(await readWeight(module, at));
  if (at.taken) addProduct(sum, at.taken, module.in);
  const b = (factors[bName] as Float32Array).map((value) => value * scaling);
  addProduct(sum, { a: factors[aName] as Float32Array, b, rank }, module.in);
  return Float32Array.from(rowNorms(sum, module.in));
}

/** Factors of the part −s B A that was taken, each singular value shared out by its root (pissa_init). */
function balanced(taken: LowRank, scaling: number): { a: Float32Array; b: Float32Array } {
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
function unscaled({ a, b }: LowRank, scaling: number): { a: Float32Array; b: Float32Array } {
  return { a, b: b.map((value) => -value / scaling) };
}

/** Left singular vectors of the smallest singular values, [out, rank]. */
async function minorDirections(
  module: LinearModule,
  at: Beginning<LoraConfig>,
  rank: number,
): Promise<Float32Array> {
  const weight = await readWeight(module, at);
  return leftVectors(weight, { rows: module.out, columns: module.in, rank });
}

function leftVectors(
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

function readerOf(at: Beginning<LoraConfig>): WeightReader {
  return { config: at.config, file: at.file, weight: (module) => readWeight(module, at) };
}

async function readWeight(
  module: ModuleInfo,
  { base, signal }: Pick<Beginning<LoraConfig>, "base" | "signal">,
): Promise<Float32Array> {
  const name = weightName(module);
  const weight = await base.readTensor(name, signal);
  if (!weight) throw misfit(t('The base has no tensor "{0}", which the adapter needs.', name));
  return weight;
}
