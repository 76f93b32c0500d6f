import { t } from "@vscode/l10n";
import * as path from "node:path";
import { throwIfAborted, unsupported } from "./base/errors.ts";
import { isFile } from "./base/files.ts";
import { readJsonObject } from "./base/json.ts";
import { elementCount } from "./base/shape.ts";
import { transposed } from "./base/matrix.ts";
import type { BaseCheckpoint, WeightRef } from "./checkpoint/baseCheckpoint.ts";
import { sourceName, weightName } from "./checkpoint/modules.ts";
import { readWeight } from "./checkpoint/readWeight.ts";
import { mappedBase } from "./mappedBase.ts";
import { checkMemory, type MemoryReport, type MemoryWish } from "./memoryCheck.ts";
import { buildModel } from "./models/index.ts";
import type { LowPrecision } from "./onnx/rounding.ts";
import { bareLayers } from "./onnx/layerHook.ts";
import type { MethodBase } from "./peft/method.ts";
import type { HubPlace } from "./checkpoint/findAdapter.ts";
import { BaseSession } from "./baseSession.ts";
import {
  openModel,
  packedLayers,
  preparePrecision,
  type PrecisionOptions,
  type PrecisionReport,
} from "./precision.ts";
import type { Quantization } from "./quant/weightSource.ts";
import { type LoadedAdapter, readAdapter } from "./loadAdapter.ts";
import { openExportBase, storedPrecision } from "./exportBase.ts";
import { findExport, isExport } from "./onnxExport/findExport.ts";
import type { ExportReport } from "./onnxExport/openExport.ts";
import type { TaskName } from "./models/taskClass.ts";
import { resolveModel } from "./resolveModel.ts";
import type { DeviceReport } from "./session/devices.ts";
import type { SessionOptions } from "./session/ortSession.ts";
import { emptyHeadWarnings, type TaskWish, taskWish } from "./taskHead.ts";
import { readTokenizer, type Tokenizer } from "./tokens/tokenizer.ts";
import { preciseProduct } from "./session/matrixProducts.ts";

/** A frozen base model in memory: session, tokenizer and what adapters need to know of it. */
export interface BaseModel {
  readonly checkpoint: BaseCheckpoint;
  readonly session: BaseSession;
  /** null when the folder has no tokenizer.json; prompts then cannot be run. */
  readonly tokenizer: Tokenizer | null;
  readonly stopTokens: ReadonlySet<number>;
  readonly adaptable: MethodBase;
  /** How its linear layers were rounded as it was loaded, as bitsandbytes does; null when they were not. */
  readonly quantization: Quantization | null;
  /** Where it runs, and why there. */
  readonly device: DeviceReport;
  /** What its weights are kept in, and what that took from them. */
  readonly precision: PrecisionReport;
  /** What it was estimated to need before it was loaded, beside what was free. */
  readonly memory: MemoryReport;
  readonly loadSeconds: number;
  /** Sentences about what is unusual: parts of a head that its files lack. */
  readonly warnings: readonly string[];
  /** Of an ONNX export, where its modules were found and which were not; absent for a checkpoint. */
  readonly export?: ExportReport;
  /** The adapter whose folder was loaded in place of a base's: a PeftModel begins with it. */
  readonly attached?: LoadedAdapter;
}

export interface LoadBaseModelOptions extends SessionOptions, HubPlace, PrecisionOptions {
  /** Of an adapter's folder: the adapter's name, and whether it may bind in part. */
  readonly adapterName?: string;
  readonly allowPartial?: boolean;
  /**
   * Compute as PyTorch does in this type, every result rounded: for answers equal to Python's, not for
   * speed. Without it the stored weights, whatever their type, are computed with in fp32.
   */
  readonly dtype?: LowPrecision;
  /** With `dtype`: false has adapters compute in it as well; PEFT's default keeps them in fp32. */
  readonly autocastAdapterDtype?: boolean;
  /**
   * "mapped" leaves weights on disk, from where the system reads what it has no memory for: slower, the
   * counterpart of `device_map="auto"` with disk offload. "resident" when absent.
   */
  readonly memory?: MemoryWish;
  /** Load what is estimated to be larger than the free memory all the same. */
  readonly allowTooLarge?: boolean;
  /** Of an ONNX export with several variants the one that is meant, e.g. "model_q4". */
  readonly onnxFile?: string;
  /**
   * What the model is to be for, as transformers' AutoModelFor… says it: a checkpoint of another class
   * of the same family is built as the class of this task, a head that it lacks is zeros.
   */
  readonly task?: TaskName;
  /** Folder or id of an adapter that will be loaded: its `task_type` and its head say the class instead. */
  readonly forAdapter?: string;
}

/**
 * Loads a Hugging Face checkpoint. Weights are mapped from their files, which are never written. Of
 * an adapter the base is loaded first, then the adapter is attached.
 * @param pathOrId a folder, or an id on the Hub, of a base or of an adapter; downloaded where it is not here
 * @throws bad-file, not-found or unsupported, naming file and field
 */
export async function loadBaseModel(
  pathOrId: string,
  options: LoadBaseModelOptions = {},
): Promise<BaseModel> {
  const place = await resolveModel(pathOrId, options);
  const wish = await taskWish(place.adapter ?? options.forAdapter ?? null, options);
  const base = await openBase(place.base, options, wish);
  if (place.adapter === null) return base;
  const started = performance.now();
  const { adapterName, allowPartial, onProgress, signal } = options;
  const named = { ...(adapterName !== undefined && { adapterName }) };
  const agreed = { ...(allowPartial !== undefined && { allowPartial }) };
  const work = { ...(onProgress && { onProgress }), ...(signal && { signal }) };
  try {
    const read = await readAdapter(base, place.adapter, { ...named, ...agreed, ...work });
    await base.session.prepare(read.weights.effects);
    const attachSeconds = (performance.now() - started) / 1000;
    return { ...base, attached: { ...read, attachSeconds } };
  } catch (error) {
    await base.session.dispose();
    throw error;
  }
}

async function openBase(
  folder: string,
  options: LoadBaseModelOptions,
  wish: TaskWish | null,
): Promise<BaseModel> {
  const { dtype, autocastAdapterDtype = true, onProgress, signal } = options;
  const started = performance.now();
  if (await isExport(folder)) return openOnnx(folder, options);
  onProgress?.({ step: t("Reading headers") });
  const opened = await openModel(folder, signal, wish);
  onProgress?.({ step: t("Building the graph") });
  const described = describeBase(opened.checkpoint);
  const memory = await checkMemory(
    { checkpoint: opened.checkpoint, base: described },
    {
      options: { mapped: options.memory === "mapped" },
      packedIn: (precision) =>
        packedLayers(opened, described, { ...options, ...(precision && { precision }) }),
      ...(options.allowTooLarge && { allowTooLarge: true }),
    },
  );
  throwIfAborted(signal);
  const tokenizer = await readTokenizer(opened.checkpoint.dir);
  const stopTokens = await readStopTokens(opened.checkpoint, tokenizer);
  throwIfAborted(signal);
  const prepared = await preparePrecision(opened, described, {
    options,
    isImitated: dtype !== undefined,
    onProgress,
    signal,
  });
  const mapped =
    options.memory === "mapped"
      ? await mappedBase(prepared.checkpoint, described.tree, { onProgress, signal })
      : null;
  const checkpoint = mapped?.checkpoint ?? prepared.checkpoint;
  const { report: precision } = prepared;
  const adaptable = checkpoint === opened.checkpoint ? described : describeBase(checkpoint);
  onProgress?.({ step: t("Reading weights"), total: checkpoint.bytes, unit: "bytes" });
  const session = await BaseSession.create(checkpoint, adaptable, {
    ...options,
    ...(dtype && { arithmetic: { dtype, autocastAdapterDtype } }),
    ...(mapped && { prepack: false }),
    release: async () => {
      await mapped?.dispose();
      await prepared.dispose();
    },
  });
  if (signal?.aborted) await session.dispose();
  throwIfAborted(signal);
  return {
    checkpoint,
    session,
    tokenizer,
    stopTokens,
    adaptable,
    device: session.device,
    quantization: precision.quantization,
    precision,
    memory,
    warnings: emptyHeadWarnings(checkpoint, wish),
    loadSeconds: (performance.now() - started) / 1000,
  };
}

/** A base whose graph and weights are an ONNX export's. */
async function openOnnx(folder: string, options: LoadBaseModelOptions): Promise<BaseModel> {
  const { dtype, quantization, precision = "auto", task, onnxFile, onProgress, signal } = options;
  const started = performance.now();
  const wishes = { dtype, quantization, ...(precision !== "auto" && { precision }) };
  if (task !== undefined) {
    throw unsupported(
      t("{0} is an ONNX export, whose head is part of its graph: task cannot change it", folder),
      t("Choose an export of that task, or the model's Hugging Face checkpoint."),
    );
  }
  const asked = Object.entries(wishes).find(([, value]) => value !== undefined)?.[0];
  if (asked !== undefined) {
    throw unsupported(
      t(
        "{0} is an ONNX export, which runs in the precision that it was made in: {1} cannot change it",
        folder,
        asked,
      ),
      t("Choose another of its variants (onnxFile), or the model's Hugging Face checkpoint."),
    );
  }
  onProgress?.({ step: t("Reading the export") });
  const opened = await openExportBase(await findExport(folder, onnxFile), options);
  const { checkpoint } = opened;
  const tokenizer = await readTokenizer(checkpoint.dir);
  const stopTokens = await readStopTokens(checkpoint, tokenizer);
  if (signal?.aborted) await opened.session.dispose();
  throwIfAborted(signal);
  const loadSeconds = (performance.now() - started) / 1000;
  return {
    ...opened,
    ...{ tokenizer, stopTokens, quantization: null, warnings: [], loadSeconds },
    device: opened.session.device,
    precision: storedPrecision(opened),
  };
}

/** What adapters can bind to in a checkpoint, from headers alone: nothing is loaded. */
export function describeBase(
  checkpoint: BaseCheckpoint,
  order: readonly number[] | null = null,
): MethodBase {
  const model = buildModel(checkpoint, bareLayers, order);
  const { tree, groups, layers, keyValueHeads, queriesPerKey, headDim } = model;
  const turned = new Set(
    tree.modules.flatMap((m) => (m.kind === "linear" && m.isTransposed ? weightName(m) : [])),
  );
  const weight = (name: string): WeightRef | undefined =>
    checkpoint.weights.get(sourceName(name, order));
  return {
    modelType: checkpoint.config.modelType,
    config: checkpoint.config,
    tree,
    groups,
    attention: { layers, heads: keyValueHeads * queriesPerKey, keyValueHeads, headDim },
    hasEncoder: model.kind === "seq2seq",
    multiply: preciseProduct,
    ...(model.kind === "encoder" && { encoder: { takesPrefix: model.takesPrefix } }),
    readTensor: async (name, signal) => {
      const unpacked = checkpoint.unpacked?.get(sourceName(name, order));
      if (unpacked) return unpacked(signal);
      const ref = weight(name);
      const empty = checkpoint.empty?.get(name);
      if (empty) return new Float32Array(elementCount(empty));
      if (!ref) return null;
      const values = await readWeight(ref, signal);
      // The one place where a weight stored [in, out] becomes [out, in]; merging turns it back.
      const [rows = 0, columns = 0] = ref.shape;
      return turned.has(name) ? Float32Array.from(transposed(values, rows, columns)) : values;
    },
    withLayers: (other) => describeBase(checkpoint, other),
  };
}

/** The tokenizer, or the reason why prompts cannot be run on this base. */
export function requireTokenizer(base: BaseModel): Tokenizer {
  if (base.tokenizer) return base.tokenizer;
  throw unsupported(
    t("{0} has no tokenizer.json, so text cannot be turned into tokens", base.checkpoint.dir),
    t("Add the tokenizer.json of this model."),
  );
}

/** End-of-text ids of generation_config.json, config.json and the tokenizer together. */
async function readStopTokens(
  { dir, config }: BaseCheckpoint,
  tokenizer: Tokenizer | null,
): Promise<Set<number>> {
  const file = path.join(dir, "generation_config.json");
  const generation = (await isFile(file)) ? await readJsonObject(file) : {};
  const ids = [
    generation["eos_token_id"],
    config.raw["eos_token_id"],
    tokenizer?.eosTokenId,
  ].flat();
  return new Set(ids.filter((id) => typeof id === "number"));
}
