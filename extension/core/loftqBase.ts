/**
 * LoftQ (https://arxiv.org/abs/2310.08659; PEFT utils/loftq_utils.py, loftq_init): W ≈ Q + B A, by turns
 * Q = rounded(W − B A) and B A = the largest directions of W − Q. What is trained around has Q in the place of W.
 */
import { t } from "@vscode/l10n";
import { toFloat32 } from "./base/dtype.ts";
import { unsupported } from "./base/errors.ts";
import { fromFloat32 } from "./base/halfFloat.ts";
import { parseFields } from "./base/json.ts";
import { multiply } from "./base/matrix.ts";
import { pause } from "./base/pause.ts";
import type { OnProgress } from "./base/progress.ts";
import { singularPart } from "./base/singular.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import type { AdapterConfig } from "./checkpoint/adapterConfig.ts";
import { type ModuleTree, weightName } from "./checkpoint/modules.ts";
import { makeWeights } from "./makeWeights.ts";
import type { LinearModule } from "./onnx/layerHook.ts";
import type { LoftqConfig } from "./peft/loraPreparations.ts";
import { loraScale, loraSchema } from "./peft/loraConfig.ts";
import { peftPrefix } from "./peft/trainable/parameters.ts";
import type { BeginningData, Parameter } from "./peft/trainable/trainable.ts";
import { dequantizeFourBit, quantizeFourBit } from "./quant/fourBit.ts";
import { dequantizeInt8, quantizeInt8 } from "./quant/int8.ts";
import { mapWeights } from "./quant/mapWeights.ts";
import type { PlainItem, WeightPlan } from "./quant/plan.ts";
import { fromWhole, plainSource, type WeightSource } from "./quant/weightSource.ts";

/** A targeted layer and the rank of its factors. */
export interface LoftqLayer {
  readonly module: LinearModule;
  readonly rank: number;
}

export interface LoftqBase {
  /** The base with rounded weights, in a temporary file. */
  readonly checkpoint: BaseCheckpoint;
  readonly factors: BeginningData["factors"];
  dispose(): Promise<void>;
}

/** The linear layers that an adapter has factors for. */
export function loftqLayers(
  parameters: readonly Parameter[],
  { modules }: ModuleTree,
): LoftqLayer[] {
  const ranks = new Map(parameters.map(({ name, shape }) => [name, shape[0] as number]));
  return modules.flatMap((module) => {
    const rank = ranks.get(`${peftPrefix}${module.path}.lora_A.weight`);
    return module.kind === "linear" && rank !== undefined ? [{ module, rank }] : [];
  });
}

/** PEFT's factors make up for rounding as they are; an adapter counts them alpha / r times. */
export function loftqWarnings(
  { raw, file }: Pick<AdapterConfig, "raw" | "file">,
  parameters: readonly Parameter[],
): string[] {
  const lora = parseFields(loraSchema, raw, file);
  const scalings = parameters.flatMap(({ name }) => {
    const path = /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(name)?.[1];
    return path === undefined ? [] : [loraScale(lora, path, file).scaling];
  });
  const other = scalings.find((scaling) => scaling !== 1);
  if (other === undefined) return [];
  return [
    t(
      "LoftQ makes up for rounding where lora_alpha equals the rank; here its factors count {0} times, as in PEFT.",
      other,
    ),
  ];
}

interface Factors {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** Rounds the targeted layers of a base, and finds the factors that make up for it. */
export async function loftqBase(
  checkpoint: BaseCheckpoint,
  layers: readonly LoftqLayer[],
  at: {
    config: LoftqConfig;
    onProgress?: OnProgress | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<LoftqBase> {
  const { config, onProgress, signal } = at;
  const found = new Map<string, Factors>();
  const plain = layers.map(({ module, rank }): PlainItem => {
    const name = weightName(module);
    const ref = checkpoint.weights.get(name);
    if (!ref || checkpoint.packed?.has(name)) {
      throw unsupported(
        t("LoftQ rounds the base itself: {0} is quantized already", module.path),
        t("Train on the base as it is."),
      );
    }
    if (!checkpoint.files.some(({ file }) => file === ref.file)) {
      throw unsupported(
        t("LoftQ rounds a base as it is stored, not one in another type"),
        t("Leave the base's type as it is."),
      );
    }
    const isTransposed = module.isTransposed === true;
    const own = plainSource(ref, isTransposed);
    const whole = async (): Promise<Float32Array> => {
      const done = found.size;
      onProgress?.({ step: t("Preparing {0}: {1} of {2}", "LoftQ", done, layers.length) });
      const made = await partedWeight(await own.rows(0, own.out, signal), {
        ...{ in: own.in, out: own.out, rank, config, signal },
      });
      found.set(module.path, made);
      return made.rounded;
    };
    const source: WeightSource = { ...own, rows: fromWhole(whole, own.out, own.in) };
    return { name, ref, dtype: own.dtype, source, isTransposed };
  });
  const plan: WeightPlan = { packed: [], plain, kept: [] };
  const request = { precision: "auto", quantization: null, blockSize: 32, skip: [] } as const;
  const made = await makeWeights(checkpoint, plan, {
    ...{ request, label: "loftq", dir: undefined, onProgress: undefined, signal },
  });
  return {
    checkpoint: mapWeights(checkpoint, plan, { file: made.file, accuracyLevel: 0 }),
    factors: (path) => found.get(path) ?? null,
    dispose: made.dispose,
  };
}

interface LoftqRequest {
  readonly in: number;
  readonly out: number;
  readonly rank: number;
  readonly config: LoftqConfig;
  readonly signal: AbortSignal | undefined;
}

/** @param weight [out, in] */
async function partedWeight(
  weight: Float32Array,
  { in: columns, out: rows, rank, config, signal }: LoftqRequest,
): Promise<Factors & { rounded: Float32Array }> {
  let rest = weight;
  for (let turn = 1; ; turn++) {
    await pause(signal);
    const rounded = roundedTo(config.loftq_bits, rest, columns);
    const residual = weight.map((value, i) => value - (rounded[i] as number));
    const factors = largestFactors(residual, { rows, columns, rank });
    if (turn >= config.loftq_iter) return { ...factors, rounded };
    const product = multiply(factors.b, factors.a, { rows, inner: rank, columns });
    rest = weight.map((value, i) => value - (product[i] as number));
  }
}

/** What bitsandbytes makes of a weight: NF4 in blocks of 64, or int8 by rows of what fp16 holds. */
function roundedTo(bits: 4 | 8, values: Float32Array, columns: number): Float32Array {
  if (bits === 8) {
    const half = toFloat32(fromFloat32(values, "F16"), "F16");
    return dequantizeInt8(quantizeInt8(half, columns));
  }
  const shape = [values.length / columns, columns];
  return dequantizeFourBit(quantizeFourBit(values, shape, { type: "nf4" }));
}

/** The largest directions U S Vᵀ as √S Vᵀ and U √S. */
function largestFactors(
  matrix: Float32Array,
  { rows, columns, rank: count }: { rows: number; columns: number; rank: number },
): Factors {
  const { left, right, rank } = singularPart(matrix, { rows, columns, count, end: "largest" });
  const [a, b] = [new Float32Array(count * columns), new Float32Array(rows * count)];
  for (let r = 0; r < rank; r++) {
    let [onLeft, onRight] = [0, 0];
    for (let i = 0; i < rows; i++) onLeft += (left[i * rank + r] as number) ** 2;
    for (let i = 0; i < columns; i++) onRight += (right[r * columns + i] as number) ** 2;
    const share = onRight === 0 ? 0 : Math.sqrt(Math.sqrt(onLeft / onRight));
    for (let i = 0; i < columns; i++)
      a[r * columns + i] = (right[r * columns + i] as number) * share;
    for (let i = 0; i < rows && share > 0; i++) {
      b[i * count + r] = (left[i * rank + r] as number) / share;
    }
  }
  return { a, b };
}
