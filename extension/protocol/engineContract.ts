/** Host ⇄ engine. Types only; nothing here assumes that the engine shares the host's memory. */

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
  roots: { path: string; source: Source }[];
  /** Also look into the Hugging Face cache (`HF_HUB_CACHE`, `HF_HOME`, or the default place). */
  huggingFaceCache: boolean;
}

export interface DiscoverResult {
  bases: BaseModelSummary[];
  adapters: AdapterSummary[];
  /** Folders that could not be read, each with a reason. */
  problems: { path: string; message: string }[];
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
}

export type ProgressEvent = {
  /** "Reading weights", "Building the graph": what happens now. */
  step: string;
  /** In bytes when `unit` is "bytes". */
  done?: number;
  total?: number;
  unit?: "bytes" | "items";
};

export interface BaseModelInfo extends BaseModelSummary {
  loadSeconds: number;
  contextLength: number;
  layers: number;
  device: string;
  hasChatTemplate: boolean;
}

export interface LoadAdapterParams {
  base: string;
  path: string;
  /** Name under which it is loaded; made from the folder name when absent. */
  name?: string;
  /** Load although some of its modules or tensors find no place. Without it such a load fails with "partial-bind". */
  allowPartial?: boolean;
}

export interface AdapterInfo {
  name: string;
  path: string;
  method: string;
  rank: number | null;
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
}

/** Does an adapter on disk fit a loaded base? Answered from headers alone. */
export interface FitReport {
  path: string;
  fits: boolean;
  bound: number;
  total: number;
  /** Why it does not fit, a sentence; absent when it fits. */
  reason?: string;
}

export interface MergeParams {
  base: string;
  adapters: ActiveAdapter[];
  /** Where the merged model is written: a folder that does not exist yet. */
  folder: string;
}

export interface MergeResult {
  /** Real path: the id of the merged model as a base. */
  folder: string;
  changedTensors: number;
  /** Share of the change that rounding to the base's type swallowed, 0 to 1: over all tensors. */
  swallowed: number;
  /** The tensors that lost most, worst first; at most 5. */
  worst: { name: string; swallowed: number }[];
  /** True when a head that was tied to the embeddings became a tensor of its own. */
  untied: boolean;
}

export interface SaveAdapterParams {
  base: string;
  name: string;
  /** The adapter's own folder. */
  folder: string;
  /** Replace adapter files that are there already; without it such a save fails. */
  overwrite?: boolean;
}

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface Sampling {
  maxNewTokens: number;
  /** 0 is greedy. */
  temperature: number;
  /** 1 is off. */
  topP: number;
  /** 0 is off. */
  topK: number;
  /** 1 is off. */
  repetitionPenalty: number;
  /** null takes a fresh seed and reports it. */
  seed: number | null;
}

export interface GenerateParams {
  base: string;
  prompt: { kind: "chat"; messages: ChatMessage[] } | { kind: "text"; text: string };
  /** Adapters for this answer alone; the active ones when absent; [] is the bare base. */
  adapters?: ActiveAdapter[];
  sampling: Sampling;
}

/** A whole snapshot of the answer so far, so that a reader may skip some. */
export interface GenerateEvent {
  text: string;
  tokens: number;
  tokensPerSecond: number;
}

export interface GenerateResult extends GenerateEvent {
  promptTokens: number;
  /** "stop": end-of-text token; "length": maxNewTokens; "context": the model's context is full. */
  finish: "stop" | "length" | "context" | "cancelled";
  seconds: number;
  seed: number;
  adapters: ActiveAdapter[];
}

export interface ConfigField {
  field: string;
  value: unknown;
  /** Differs from PEFT's default. */
  changed: boolean;
  /** One sentence; "" for a field that this version of Graft does not know. */
  meaning: string;
}

export interface GridCell {
  row: string;
  column: string;
  /** Hugging Face module path. */
  module: string;
  parameters: number;
  rank: number | null;
  alpha: number | null;
  scaling: number | null;
  /** [in, out] features. */
  shape: [number, number] | null;
  dtype: string;
}

export interface AdapterReport {
  summary: AdapterSummary;
  /** The scale of the update where one number says it (LoRA: alpha / r), else null. */
  scaling: number | null;
  alpha: number | null;
  config: ConfigField[];
  rawConfig: string;
  files: { name: string; bytes: number; tensors: number; dtypes: string[] }[];
  tensors: { name: string; dtype: string; shape: number[]; bytes: number }[];
  /** Layer × module. Rows and columns in the model's order; modules outside layers have row "". */
  grid: { rows: string[]; columns: string[]; cells: GridCell[] };
  totals: { parameters: number; tensors: number; bytes: number; modules: number; dtypes: string[] };
  /** Present when a base was named and is loaded. */
  fit?: FitReport & {
    baseName: string;
    baseParameters: number;
    /** Share of the base's parameters, 0 to 1. */
    share: number;
    unbound: string[];
    unexpected: string[];
  };
  warnings: string[];
}

/** What the engine offers to the host. */
export type EngineContract = {
  hello: { params: { version: number }; result: HelloResult };
  discover: { params: DiscoverParams; result: DiscoverResult; event: ProgressEvent };
  loadBaseModel: { params: { path: string }; result: BaseModelInfo; event: ProgressEvent };
  unloadBaseModel: { params: { base: string }; result: null };
  loadAdapter: { params: LoadAdapterParams; result: AdapterInfo; event: ProgressEvent };
  unloadAdapter: { params: { base: string; name: string }; result: null };
  setActiveAdapters: {
    params: { base: string; adapters: ActiveAdapter[] };
    result: { swapSeconds: number };
  };
  renameAdapter: { params: { base: string; name: string; newName: string }; result: null };
  saveAdapter: { params: SaveAdapterParams; result: { files: string[] } };
  mergeAdapters: { params: MergeParams; result: MergeResult; event: ProgressEvent };
  checkFit: { params: { base: string; paths: string[] }; result: FitReport[] };
  inspectAdapter: { params: { path: string; base?: string }; result: AdapterReport };
  generate: { params: GenerateParams; result: GenerateResult; event: GenerateEvent };
};

/** What the host offers to the engine: nothing yet. */
export type EngineHostContract = Record<string, never>;
