/** Host ⇄ engine. Types only; nothing here assumes that the engine shares the host's memory. */

import type { AnalysisContract } from "./analysisContract.ts";
import type { ConfigContract } from "./configContract.ts";
import type { ModelTask, PredictContract } from "./predictContract.ts";
import type { PromptsContract } from "./promptsContract.ts";
import type { ReportContract } from "./reportContract.ts";
import type { TensorContract } from "./tensorContract.ts";
import type { TrainingContract } from "./trainingContract.ts";
import type { RunsContract } from "./runsContract.ts";
import type { HubContract, HubLoad } from "./hubContract.ts";
import type { WriteContract } from "./writeContract.ts";
import type { GenerationContract, Prompt } from "./generationContract.ts";

export const protocolVersion = 1;

export interface HelloResult {
  version: number;
  pid: number;
  runtime: string;
  /** PEFT methods that this engine runs, as `peft_type` spells them. */
  methods: string[];
  /** Model families that this engine runs, as `model_type` spells them. */
  families: string[];
}

/** Where something was found. */
export type Source = "workspace" | "cache" | "folder" | "sample";

/** A folder to look into; `folder` roots are searched recursively, `file` names one adapter_config.json or config.json. */
export interface DiscoverParams {
  roots: {
    path: string;
    source: Source;
    /** Look into this folder alone, not into those below. */
    isOne?: boolean;
  }[];
  /** Also look into the Hugging Face cache (`HF_HUB_CACHE`, `HF_HOME`, or the default place). */
  huggingFaceCache: boolean;
}

export interface DiscoverResult {
  bases: BaseModelSummary[];
  adapters: AdapterSummary[];
  /** Folders that could not be read, each with a reason. */
  problems: { path: string; message: string }[];
  /** The Hugging Face cache, whether it is there or not, when it was looked into. */
  cache?: string;
}

export interface BaseModelSummary {
  /** Real path of the folder that holds config.json: the model's id everywhere. */
  path: string;
  name: string;
  modelType: string;
  architecture: string;
  parameters: number;
  /** As people write it: "fp32", "bf16". */
  dtype: string;
  bytes: number;
  source: Source;
  /** Set when Graft cannot run it; a sentence. */
  unsupported?: string;
}

export interface AdapterSummary {
  /** Real path of the folder that holds adapter_config.json: the adapter's id everywhere. */
  path: string;
  name: string;
  /** `peft_type` as stored, e.g. "LORA"; "" when the config cannot be read. */
  peftType: string;
  /** For people: "LoRA", "IA³". */
  method: string;
  /** Rank, or null where the method has none. */
  rank: number | null;
  parameters: number;
  bytes: number;
  /** `base_model_name_or_path` as stored, or null. */
  baseName: string | null;
  /** The folder that `baseName` leads to, when it is on this machine. */
  basePath: string | null;
  source: Source;
  /** Milliseconds since the epoch. */
  modified: number;
  /** Set when Graft cannot run it (method or option not supported, broken file); a sentence. */
  problem?: string;
  /** Its weights have not been looked into: parameters are not known, nor whether it is whole. */
  isUnread?: boolean;
}

export type ProgressEvent = {
  /** "Reading weights", "Building the graph": what happens now. */
  step: string;
  /** In bytes when `unit` is "bytes". */
  done?: number;
  total?: number;
  unit?: "bytes" | "items";
};

/** How a base is loaded; what is absent is as the checkpoint and the machine have it. */
export interface LoadOptions {
  precision?: Precision;
  device?: DeviceWish;
  /** "mapped" leaves weights on disk, from where the system reads what it has no memory for: slower. */
  memory?: "resident" | "mapped";
  /** Load what is estimated to be larger than the free memory all the same. Without it: "no-memory". */
  allowTooLarge?: boolean;
}

/** "auto" is as stored; names are Hugging Face's where it has some. */
export type Precision = "auto" | "fp32" | "fp16" | "bf16" | "int8" | "int4" | "nf4" | "fp4";

export type DeviceWish = "auto" | "cpu" | "cuda" | "dml" | "coreml" | "webgpu";

export interface LoadBaseModelParams extends LoadOptions {
  path: string;
  /** Folder of an adapter that will be loaded on it. */
  forAdapter?: string;
  /** Where an id on the Hub is had. */
  hub?: HubLoad;
  /** Where weights that are made for a precision are kept for the next time. */
  quantCache?: string;
}

/** What loading a base would take, from headers alone. */
export interface LoadEstimate {
  /** Bytes that are free for this process, and all that it may use. */
  free: number;
  total: number;
  /** What the checkpoint keeps its weights in: "bf16", "gptq". */
  stored: string;
  choices: { precision: Precision; bytes: number; fits: boolean }[];
}

/** Weights that were made for a precision and kept. */
export interface QuantCacheEntry {
  key: string;
  /** The model's name, for people. */
  model: string;
  precision: string;
  bytes: number;
  /** Milliseconds since the epoch. */
  lastUsed: number;
  isInUse: boolean;
}

export interface BaseModelInfo extends BaseModelSummary {
  loadSeconds: number;
  contextLength: number;
  layers: number;
  /** Where it runs, for people: "CPU". */
  device: string;
  /** Why it runs there, a sentence; "" where there is nothing to say. */
  deviceNote: string;
  /** What its weights run in, for people: "as stored", "int4", "nf4 as int8". */
  precision: string;
  /** What rounding to that took: root mean square as a share of the weights' own; null for nothing. */
  lost: number | null;
  /** Bytes that it was estimated to need, and that were free before it was loaded. */
  memory: { estimate: number; free: number };
  hasChatTemplate: boolean;
  /** What it is for: one that is not for "language-modeling" answers `predict`, not `generate`. */
  task: ModelTask;
  /** Sentences about what is unusual. */
  warnings: string[];
  /** The adapter's folder, when one was named instead of its base: it is not loaded yet. */
  adapter?: string;
  /** Of an ONNX export: which layers were found in it. */
  export?: ExportSummary;
}

export interface ExportSummary {
  /** The .onnx file's name without its ending, and all beside it. */
  variant: string;
  variants: string[];
  /** Who wrote the file, as it says itself; "" where it does not. */
  producer: string;
  mapped: number;
  total: number;
  /** The first layers that were not found, by their Hugging Face paths; `missing` counts all. */
  missing: number;
  examples: { path: string; reason: string }[];
  warnings: string[];
}

export interface LoadAdapterParams {
  base: string;
  path: string;
  /** Name under which it is loaded; made from the folder name when absent. */
  name?: string;
  /** Load although some of its modules or tensors find no place. Without it such a load fails with "partial-bind". */
  allowPartial?: boolean;
  /** Where an id on the Hub is had. */
  hub?: HubLoad;
}

export interface AdapterInfo {
  name: string;
  path: string;
  /** As `peft_type` spells it. */
  peftType: string;
  method: string;
  rank: number | null;
  /** How many tasks it was trained for, one of which answers; null where there is but one. */
  tasks: number | null;
  /** Types of its tensors as people write them: "fp32". */
  dtypes: string[];
  parameters: number;
  bound: number;
  total: number;
  attachSeconds: number;
  /** Sentences about what is unusual (unexpected tensors, unknown config fields, NaN). */
  warnings: string[];
}

export interface ActiveAdapter {
  name: string;
  weight: number;
  /** Of an adapter for several tasks: which one, from 0; the first when absent. */
  task?: number | undefined;
}

export interface MeasureParams {
  base: string;
  /** The active ones when absent. */
  adapters?: ActiveAdapter[];
  /** Prompts or token ids; a few of everyday kinds when absent. */
  probes?: (Prompt | number[])[];
}

/** How far adapters move what the base says, over every position of the probes. */
export interface EffectResult {
  probes: number;
  positions: number;
  /** Largest and mean absolute change of a logit. */
  largest: number;
  mean: number;
  /** Kullback-Leibler divergence of the next token from the base's, in nats. */
  divergence: { mean: number; largest: number };
  /** Positions where another token has become the likeliest. */
  changedTop: number;
  /** Probes whose answer begins with another token. */
  changedAnswers: number;
  changesNothing: boolean;
}

/** What the engine offers to the host. */
export type EngineContract = HubContract &
  AnalysisContract &
  GenerationContract &
  RunsContract &
  TrainingContract &
  ConfigContract &
  PredictContract &
  PromptsContract &
  ReportContract &
  WriteContract &
  TensorContract & {
    hello: { params: { version: number }; result: HelloResult };
    discover: { params: DiscoverParams; result: DiscoverResult; event: ProgressEvent };
    /** Looks into the weights of adapters that were listed without (`isUnread`). */
    readAdapters: {
      params: { adapters: Pick<AdapterSummary, "path" | "source">[] };
      result: AdapterSummary[];
    };
    /**
     * Of an adapter's folder its base is loaded. `forAdapter` is one that will be loaded on it: a base
     * without the head that the adapter brings is opened as the class that has it.
     */
    loadBaseModel: { params: LoadBaseModelParams; result: BaseModelInfo; event: ProgressEvent };
    estimateLoad: { params: { path: string }; result: LoadEstimate };
    listQuantCache: { params: { folder: string }; result: QuantCacheEntry[] };
    /** Removes entries; what is in use stays. Bytes that are free again. */
    clearQuantCache: { params: { folder: string; keys: string[] }; result: { bytes: number } };
    unloadBaseModel: { params: { base: string }; result: null };
    loadAdapter: { params: LoadAdapterParams; result: AdapterInfo; event: ProgressEvent };
    unloadAdapter: { params: { base: string; name: string }; result: null };
    setActiveAdapters: {
      params: { base: string; adapters: ActiveAdapter[] };
      result: { swapSeconds: number };
    };
    renameAdapter: { params: { base: string; name: string; newName: string }; result: null };
    /** Compares a base with and without adapters on probe prompts. */
    measureEffect: { params: MeasureParams; result: EffectResult; event: ProgressEvent };
  };

/** What the host offers to the engine: nothing yet. */
export type EngineHostContract = Record<string, never>;
