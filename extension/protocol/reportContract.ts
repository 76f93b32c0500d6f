/** Host ⇄ engine: what adapters and models are like. Types only. */
import type { AdapterSummary } from "./engineContract.ts";

/** Does an adapter on disk fit a loaded base? Answered from headers alone. */
export interface FitReport {
  path: string;
  fits: boolean;
  bound: number;
  total: number;
  /** Why it does not fit, a sentence; absent when it fits. */
  reason?: string;
}

/** Where parts of a model disagree, PEFT says "irregular" in place of a value. */
export type Irregular = "irregular";

/** A layer that an adapter has put around a module; PEFT's TunerLayerStatus. */
export interface LayerStatus {
  /** Hugging Face module path. */
  name: string;
  /** PEFT's class: "lora.Linear". */
  moduleType: string;
  enabled: boolean;
  activeAdapters: string[];
  mergedAdapters: string[];
  requiresGrad: Record<string, boolean | Irregular>;
  availableAdapters: string[];
  devices: Record<string, string[]>;
  quantizationBackend: string | null;
}

/** PEFT's TunerModelStatus. */
export interface ModelStatus {
  baseModelType: string;
  adapterModelType: string;
  /** `peft_type` by adapter. */
  peftTypes: Record<string, string>;
  trainableParams: number;
  totalParams: number;
  numAdapterLayers: number;
  enabled: boolean | Irregular;
  activeAdapters: string[] | Irregular;
  mergedAdapters: string[] | Irregular;
  requiresGrad: Record<string, boolean | Irregular>;
  availableAdapters: string[];
  devices: Record<string, string[]>;
  quantizationBackend: string | null;
}

export interface ModelStatusResult extends ModelStatus {
  layers: LayerStatus[];
  /** Of each loaded adapter: trained as PEFT counts, what it adds to the base, numbers in its file. */
  parameters: Record<string, { trained: number; added: number; stored: number }>;
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

/** What the engine says of adapters and models. */
export type ReportContract = {
  /** A loaded base with its adapters, as PEFT's get_model_status and get_layer_status. */
  modelStatus: { params: { base: string }; result: ModelStatusResult };
  checkFit: { params: { base: string; paths: string[] }; result: FitReport[] };
  inspectAdapter: { params: { path: string; base?: string }; result: AdapterReport };
};
