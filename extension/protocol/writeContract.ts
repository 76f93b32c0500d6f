/** Host ⇄ engine: what is written of adapters: saved, merged, exported, converted, combined. Types only. */
import type { ProgressEvent, AdapterInfo, ActiveAdapter } from "./engineContract.ts";

export interface MergeParams {
  base: string;
  adapters: ActiveAdapter[];
  /** Where the merged model is written: a folder that does not exist yet. */
  folder: string;
  /** Write although rounding swallows much of the change. Without it such a merge fails with "lossy-merge". */
  allowLossy?: boolean;
  /** False writes NaN and infinite values; without it they fail the merge, naming the module. */
  safeMerge?: boolean;
}

export interface ExportOnnxParams {
  base: string;
  /** The active ones when absent; none exports the base. */
  active?: ActiveAdapter[];
  /** Where the model is written: a folder that does not exist yet. */
  folder: string;
  /** Into the weights, or as inputs that an `.onnx_adapter` file for each feeds. */
  adapters: "merged" | "inputs";
  dtype: "fp32" | "fp16";
  layout: "genai" | "transformers.js";
}

export interface ExportOnnxResult {
  /** Real path. */
  folder: string;
  /** Relative to the folder. */
  files: string[];
  bytes: number;
  /** Largest difference of a logit, as the written model was run to check it. */
  difference: number;
}

/** What rounding to the base's type would do to a merge; nothing is written. */
export interface MergePreviewResult {
  /** Tensors that would change, and of how many of them this tells. */
  changedTensors: number;
  computed: number;
  /** Predicted share of the change that rounding swallows, 0 to 1. */
  swallowed: number;
  /** Largest difference that rounding makes to a weight. */
  largest: number;
  /** Merging would fail with "lossy-merge": `swallowed` is at least `threshold`. */
  lossy: boolean;
  threshold: number;
  /** The tensors that lose most, worst first; at most 5. */
  worst: { name: string; swallowed: number }[];
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
  /** "safetensors" when absent; "bin" is what torch.save writes. */
  format?: "safetensors" | "bin";
  /** PEFT's save_embedding_layers; when absent those that the adapter came with. */
  saveEmbeddingLayers?: boolean | "auto";
  /** Folder of the adapter as it was before training (PiSSA, OLoRA, CorDA): a plain LoRA is saved. */
  convertFrom?: string;
}

export interface SaveAdapterResult {
  files: string[];
  /** Sentences about what is unusual. */
  warnings: string[];
}

/** How large a LoRA's modules become. */
export type RankChoice =
  | { kind: "rank"; rank: number }
  /** Per module the smallest rank whose singular values keep this share of energy, above 0 to 1. */
  | { kind: "energy"; energy: number }
  /** Per module the rank that the update has: nothing is lost. */
  | { kind: "exact" };

/** What an adapter is turned into. */
export type Conversion =
  /** A LoRA of any method whose update of the weights is one matrix a module. Needs the base. */
  | { kind: "lora"; size: RankChoice }
  /** A LoRA of another rank. */
  | { kind: "resize"; size: RankChoice }
  /** A LoRA with its intruder dimensions damped (PEFT's reduce_intruder_dimension). Needs the base. */
  | {
      kind: "reduceIntruders";
      /** Directions looked at; PEFT's default is 10. */
      topK?: number;
      /** Below this likeness to every direction of the base a direction is an intruder; 0.5. */
      threshold?: number;
      /** Factor on an intruder, 0 removes it; 0.75. */
      mitigation?: number;
    }
  /** ONNX Runtime's adapter file of a LoRA; parameters are named as Olive or as GenAI's builder does. */
  | { kind: "onnxAdapter"; dtype?: "fp32" | "fp16"; names?: "olive" | "genai" }
  /** llama.cpp's adapter file of a LoRA. Needs the base's config.json. */
  | { kind: "gguf"; dtype?: "fp32" | "fp16" | "bf16" }
  /** PEFT's folder, of a `.gguf` or `.onnx_adapter` file. */
  | { kind: "peft" };

export interface ConvertParams {
  /** The adapter's folder; for "peft" the file. */
  path: string;
  /** The base's folder, loaded or not; where the adapter's config leads when absent. */
  base?: string;
  to: Conversion;
  /** The new adapter's own folder; for "onnxAdapter" and "gguf" the file. */
  target: string;
  /** Replace what is there already; without it such a conversion fails. */
  overwrite?: boolean;
}

export interface ConvertResult {
  /** Real path of the folder or file. */
  target: string;
  files: string[];
  modules: number;
  /** Smallest and largest rank of a module. */
  ranks: [number, number];
  /**
   * Share of the update that is lost, ‖new − old‖ / ‖old‖ over all modules; for "reduceIntruders"
   * how far it moved, which may be more than 1.
   */
  lost: number;
  /** The modules that lost most, worst first; at most 5, none that lost nothing. */
  worst: { module: string; lost: number }[];
  /** Sentences. */
  warnings: string[];
}

/** PEFT's combination types. */
export type CombinationType =
  | "linear"
  | "svd"
  | "cat"
  | "ties"
  | "dare_linear"
  | "dare_ties"
  | "magnitude_prune"
  | "ties_svd"
  | "dare_linear_svd"
  | "dare_ties_svd"
  | "magnitude_prune_svd";

export interface CombineParams {
  base: string;
  /** Loaded adapters of one method, and how much of each. */
  adapters: { name: string; weight: number }[];
  /** The new adapter's name. */
  name: string;
  /** The new adapter's own folder. */
  folder: string;
  /** Replace adapter files that are there already; without it such a combination fails. */
  overwrite?: boolean;
  type: CombinationType;
  /** Share of values to keep, for the types that prune. */
  density?: number;
  /** How ties elect signs. */
  majoritySign?: "total" | "frequency";
  /** For the types with svd; the largest of the ranks when absent. */
  svdRank?: number;
  /** For the types with dare. */
  seed?: number;
}

/** What the engine writes. */
export type WriteContract = {
  saveAdapter: { params: SaveAdapterParams; result: SaveAdapterResult };
  /** Makes an adapter of loaded ones, writes it and loads it; it is not active yet. */
  combineAdapters: { params: CombineParams; result: AdapterInfo; event: ProgressEvent };
  mergeAdapters: { params: MergeParams; result: MergeResult; event: ProgressEvent };
  /** Writes the base with adapters as an ONNX model, and runs it once to check it. */
  exportOnnx: { params: ExportOnnxParams; result: ExportOnnxResult; event: ProgressEvent };
  /** Predicts what merging would lose; `samples` tensors are enough for a quick look. */
  previewMerge: {
    params: { base: string; adapters: ActiveAdapter[]; samples?: number };
    result: MergePreviewResult;
    event: ProgressEvent;
  };
  convertAdapter: { params: ConvertParams; result: ConvertResult; event: ProgressEvent };
};
