import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { openCheckpoint } from "./models/openCheckpoint.ts";
import { mapWeights, withSourceValues } from "./quant/mapWeights.ts";
import {
  type PlannedModel,
  planWeights,
  type Precision,
  type PrecisionRequest,
  type WeightPlan,
} from "./quant/plan.ts";
import { type StoredKind, type StoredWeights, storedWeights } from "./quant/storedWeights.ts";
import type { Quantization } from "./quant/weightSource.ts";
import type { LayerError } from "./quant/writeWeights.ts";
import { classWished, type TaskWish, withWishedHead } from "./taskHead.ts";
import { makeWeights } from "./makeWeights.ts";

/** How a base's weights are kept and run; names are those of Hugging Face where it has some. */
export interface PrecisionOptions {
  /**
   * "auto" is as stored. "fp16" and "bf16" round all weights to that type, computed with in fp32;
   * "int8" and "int4" keep linear layers in blocks of integers, which run several times faster;
   * "nf4" and "fp4" are the values of `quantization`, run as they are.
   */
  readonly precision?: Precision;
  /**
   * Round linear layers as bitsandbytes does (QLoRA, LLM.int8), before `precision`: with "int8" or
   * "int4" the rounded values are packed once more to run fast, and the report says what that took.
   */
  readonly quantization?: Quantization["type"];
  /** Keep the scales of NF4 and FP4 in 8 bits, too (bnb_4bit_use_double_quant). */
  readonly doubleQuant?: boolean;
  /** Numbers that share a scale in int8 and int4; 32 when absent, larger is smaller, faster and coarser. */
  readonly blockSize?: 32 | 64 | 128;
  /** 4 (when absent) rounds activations of int8 and int4 layers to 8 bits as they run; 0 does not, and is slower. */
  readonly accuracyLevel?: 0 | 1 | 4;
  /** Modules that stay as stored, as transformers matches them (llm_int8_skip_modules). */
  readonly modulesToNotConvert?: readonly string[];
  /** Where weights that are made here are kept for the next time; a temporary file when absent. */
  readonly quantCacheDir?: string;
}

/** What a base's weights are, once it is loaded. */
export interface PrecisionReport {
  /** What was asked for. */
  readonly precision: Precision;
  readonly quantization: Quantization | null;
  /** For people: "int4", "nf4 as int8", "bf16", "gptq". */
  readonly label: string;
  /** How the checkpoint stores its linear layers; null where they are plain. */
  readonly stored: StoredKind | null;
  /** Weights that are stored so, by name. */
  readonly storedLayers: readonly string[];
  /** Linear layers that run in blocks of integers. */
  readonly packed: number;
  /** Bytes that were written beside the checkpoint's own files; 0 where it runs as it is. */
  readonly bytes: number;
  /** True when the weights came from the cache. */
  readonly fromCache: boolean;
  /**
   * What packing took from the values: root mean square of the difference as a share of the weights'
   * own, over all layers and of the worst five; null where nothing was rounded to int8 or int4.
   */
  readonly error: {
    readonly relative: number;
    readonly worst: readonly { path: string; relative: number }[];
  } | null;
  /** Linear layers that stay as stored although others change, and why. */
  readonly kept: WeightPlan["kept"];
}

/** A folder's checkpoint, its quantized weights found. */
export interface OpenModel {
  readonly checkpoint: BaseCheckpoint;
  readonly stored: StoredWeights | null;
}

/** Opens a checkpoint of any kind to look at it: with quantized weights it is described, not run. */
export async function openModel(
  folder: string,
  signal?: AbortSignal,
  wish: TaskWish | null = null,
): Promise<OpenModel> {
  const plain = await openCheckpoint(folder, signal, (config) => classWished(config, wish));
  const stored = await storedWeights(plain, signal);
  const checkpoint = stored?.checkpoint ?? plain;
  return { checkpoint: wish ? withWishedHead(checkpoint, wish) : checkpoint, stored };
}

export interface PreparedBase {
  readonly checkpoint: BaseCheckpoint;
  readonly report: PrecisionReport;
  /** Lets go of what the weights stand in; sessions that map it are closed before. */
  dispose(): Promise<void>;
}

/**
 * A base in the precision that was asked for. What has to be written is written once, tensor by
 * tensor, to the cache or a temporary file; the checkpoint's own files are only read.
 * @throws bad-request for options that exclude each other, disk-full, cancelled
 */
export async function preparePrecision(
  { checkpoint, stored }: OpenModel,
  model: PlannedModel,
  at: {
    options: PrecisionOptions;
    /** Rounding in a 16-bit type is imitated, which layers in blocks of integers have no place for. */
    isImitated?: boolean;
    /** Weights that the cache lacks have their sizes alone, and are 0: to measure with. */
    sizesOnly?: boolean | undefined;
    onProgress?: OnProgress | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<PreparedBase> {
  const request = requestOf(at.options);
  const plan = planWeights(checkpoint, model, { request, stored });
  const accuracyLevel = at.options.accuracyLevel ?? 4;
  const common = reportOf(at.options, { request, plan, stored });
  if (plan.packed.length === 0 && plan.plain.length === 0) {
    return { checkpoint, report: common, dispose: () => Promise.resolve() };
  }
  if (at.isImitated && plan.packed.length > 0) {
    throw badRequest(
      t(
        'Layers in blocks of integers ({0}) have no 16-bit arithmetic: leave "dtype" out, or ask for the precision "fp32".',
        common.label,
      ),
    );
  }
  const { packed: _, unpacked: __, ...plain } = checkpoint;
  const { quantCacheDir: dir } = at.options;
  const { onProgress, signal } = at;
  const made = await makeWeights(plain, plan, {
    request,
    label: common.label,
    dir,
    sizesOnly: at.sizesOnly,
    onProgress,
    signal,
  });
  const whole = mapWeights(plain, plan, { file: made.file, accuracyLevel });
  const mapped = made.isHollow ? withSourceValues(whole, plan) : whole;
  const report = {
    ...common,
    bytes: made.file.size,
    fromCache: made.fromCache,
    error: errorOf(made.errors),
  };
  return { checkpoint: mapped, report, dispose: made.dispose };
}

/**
 * Bytes of the layers that run packed in a precision, by path; from headers alone. A block has its codes, an fp32 scale
 * and, in memory, the fp32 sum that MatMulNBits' kernel keeps of it (docs/performance.md).
 */
export function packedLayers(
  { checkpoint, stored }: OpenModel,
  model: PlannedModel,
  options: PrecisionOptions,
): ReadonlyMap<string, number> {
  const plan = planWeights(checkpoint, model, { request: requestOf(options), stored });
  return new Map(
    plan.packed.flatMap(({ layout: { bits, blockSize, columns }, hasZeroPoints, items }) => {
      const blocks = Math.ceil(columns / blockSize);
      const row = blocks * ((blockSize * bits) / 8 + 4 + 4 + (hasZeroPoints ? bits / 8 : 0));
      return items.map(({ path, source }) => [path, Math.ceil(source.out * row)] as const);
    }),
  );
}

function requestOf(options: PrecisionOptions): PrecisionRequest {
  const { precision = "auto", quantization, doubleQuant = false } = options;
  const isBitsandbytes = precision === "nf4" || precision === "fp4";
  if (isBitsandbytes && quantization !== undefined && quantization !== precision) {
    throw badRequest(
      t(
        'The precision "{0}" and the quantization "{1}" exclude each other.',
        precision,
        quantization,
      ),
    );
  }
  const type = isBitsandbytes ? precision : quantization;
  if (doubleQuant && type !== "nf4" && type !== "fp4") {
    throw badRequest(t("doubleQuant is for nf4 and fp4: only they keep scales that it can round."));
  }
  return {
    precision: isBitsandbytes ? "auto" : precision,
    quantization: type === undefined ? null : { type, doubleQuant },
    blockSize: options.blockSize ?? 32,
    skip: options.modulesToNotConvert ?? [],
  };
}

function reportOf(
  options: PrecisionOptions,
  at: { request: PrecisionRequest; plan: WeightPlan; stored: StoredWeights | null },
): PrecisionReport {
  const { request, plan, stored } = at;
  const values = request.quantization?.type ?? stored?.kind ?? null;
  const ran = request.precision === "auto" ? null : request.precision;
  return {
    precision: options.precision ?? "auto",
    quantization: request.quantization,
    label: values && ran ? t("{0} as {1}", values, ran) : (values ?? ran ?? t("as stored")),
    stored: stored?.kind ?? null,
    storedLayers: [...(stored?.sources.keys() ?? [])],
    packed: plan.packed.reduce((sum, { items }) => sum + items.length, 0),
    bytes: 0,
    fromCache: false,
    error: null,
    kept: plan.kept,
  };
}

function errorOf(errors: readonly LayerError[]): PrecisionReport["error"] {
  if (errors.length === 0) return null;
  const sum = (of: (each: LayerError) => number): number =>
    errors.reduce((all, each) => all + of(each), 0);
  const total = sum((each) => each.total);
  const worst = errors
    .toSorted((a, b) => b.relative - a.relative)
    .slice(0, 5)
    .map(({ path, relative }) => ({ path, relative }));
  return { relative: total === 0 ? 0 : Math.sqrt(sum((each) => each.error) / total), worst };
}
