/**
 * What LoRA's factors begin with (PEFT tuners/lora/layer.py, update_layer and what it calls), drawn in
 * PEFT's order from torch's generator.
 */
import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../../base/errors.ts";
import { transposed } from "../../base/matrix.ts";
import { elementCount, type Shape } from "../../base/shape.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import type { ModuleInfo } from "../../checkpoint/modules.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { addProduct, type LowRank } from "../effect.ts";
import { takenFromBase } from "../loraBase.ts";
import { isMica, loraBlocks, type LoraConfig, loraScale, usesKasa } from "../loraConfig.ts";
import { isSavedAsPlain } from "../loraPreparations.ts";
import { columnNorms, rowNorms } from "../norms.ts";
import { magnitudeSuffix } from "./dora.ts";
import { factorsOf, leftVectors, minorDirections, readerOf, readWeight } from "./loraFactors.ts";
import { orthogonalFactors } from "./orthogonalFactors.ts";
import type { Beginning } from "./tuner.ts";

type Factors = Record<string, Float32Array>;

/** What an initialisation took out of the base, with the sign of an update: fed, never trained. */
export const takenNames = { a: "taken_A", b: "taken_B" };

/** True for initialisations on a base that has lost what the factors hold. */
export function takesFromBase(config: LoraConfig): boolean {
  const { init_lora_weights: init } = config;
  return usesKasa(config) || ["pissa", "olora"].includes(String(init)) || isSavedAsPlain(init);
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
  const taken = takesFromBase(config) ? await takenBy(factors, module, at) : null;
  const factor = takenScale(config, module.path, file);
  const kept = taken ? { [takenNames.a]: taken.a, [takenNames.b]: taken.b } : {};
  if (!config.use_dora) return { ...factors, ...kept };
  return {
    ...factors,
    ...kept,
    [magnitudeSuffix]: await magnitudes(module, factors, { ...at, taken: timesB(taken, factor) }),
  };
}

/** PEFT begins LoRA-GA as usual where there are no gradients; what was restored is put in afterwards. */
function isWithoutData({ config, data }: Beginning<LoraConfig>): boolean {
  const init = String(config.init_lora_weights);
  if (data === undefined) return init === "lora_ga";
  return data === "restored" && ["eva", "loftq", "corda", "lora_ga"].includes(init);
}

/**
 * What the product of the taken factors counts: those that are saved beside the trained ones are as
 * unscaled as they, so that a file gives them back bit for bit.
 */
export function takenScale(config: LoraConfig, path: string, file: string): number {
  return isSavedAsPlain(config.init_lora_weights) ? loraScale(config, path, file).scaling : 1;
}

function timesB(taken: LowRank | null, factor: number): LowRank | null {
  if (taken === null || factor === 1) return taken;
  return { ...taken, b: taken.b.map((value) => value * factor) };
}

/** What the base loses, with the sign of an update; times `takenScale`. */
async function takenBy(
  factors: Factors,
  module: LinearModule,
  at: Beginning<LoraConfig>,
): Promise<LowRank | null> {
  const { config, file } = at;
  if (usesKasa(config) || !isSavedAsPlain(config.init_lora_weights)) {
    return takenFromBase(module, readerOf(at));
  }
  const { rank } = loraScale(config, module.path, file);
  const [a, b] = [factors[aName] as Float32Array, factors[bName] as Float32Array];
  return { a: a.slice(), b: b.map((value) => -value), rank };
}

const aName = "lora_A.weight";
const bName = "lora_B.weight";

async function linearFactors(module: LinearModule, at: Beginning<LoraConfig>): Promise<Factors> {
  const { config, random, shapes, file } = at;
  const init = config.init_lora_weights;
  const { rank, scaling } = loraScale(config, module.path, file);
  const plain = initializeFactors(module.path, at);
  if (typeof init === "boolean" || init === "gaussian" || isWithoutData(at)) return plain;
  if (init === "eva" || init === "loftq") return { ...plain, ...known(module.path, at) };
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
  const { a, b } = await factorsOf(module, at, { rank, scaling });
  return { ...plain, [aName]: a, [bName]: b };
}

/** Factors that were made before, by the names of their tensors. */
function known(path: string, { data }: Beginning<LoraConfig>): Factors {
  const made = data === undefined || data === "restored" ? null : data.factors(path);
  return made ? { [aName]: made.a, ...(made.b && { [bName]: made.b }) } : {};
}

/** The usual factors of a matrix by the name that patterns match: A is uniform and B is 0, so that the adapter begins as the base. */
export function initializeFactors(
  name: string,
  { config, random, shapes, file, data }: Beginning<LoraConfig>,
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
  const isUsual = init === true || (init === "lora_ga" && data === undefined);
  if (!isUsual) return { [aName]: first, [bName]: zero };
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
function linearWeight(random: TorchGenerator, shape: Shape): Float32Array {
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

/** PEFT leaves a table as it was drawn until EVA's directions are there. */
function isLeftByEva({ config, data }: Beginning<LoraConfig>): boolean {
  return config.init_lora_weights === "eva" && data === undefined;
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
  } else if (config.init_lora_weights !== false && !isLeftByEva(at)) {
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
