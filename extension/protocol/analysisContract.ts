/** What adapters change, in numbers: part of the engine's contract. Types only; docs/analysis.md says what each number means. */
import type { AdapterSummary, ProgressEvent } from "./engineContract.ts";

export interface AnalyzeParams {
  /** The adapter's folder. */
  path: string;
  /** The base's folder, loaded or not; where the adapter's config leads when absent; null goes without. */
  base?: string | null;
  /** Paths of modules; all when absent. Costs and advice are then of these alone. */
  only?: string[];
  /**
   * Spectra of large updates that are not of low rank, too (DoRA, IA³, OFT on a side above 512): seconds
   * a module, so for a few of `only`. Without it their `spectrum` is null and `reason` says so.
   */
  thorough?: boolean;
  /** Folder in which results are kept for the next time; none are when absent. */
  cache?: string;
}

/** The base that numbers were computed with; null: none is on this machine, or none was wanted. */
export type AnalysisBase = { path: string; name: string; parameters: number } | null;

export interface AdapterAnalysis {
  path: string;
  peftType: string;
  /** For people: "LoRA", "DoRA", "IA³". */
  method: string;
  base: AnalysisBase;
  /** Why numbers that need the base are null; a sentence. Absent with a base. */
  baseMissing?: string;
  /** Of modules as they stand in the model; modules outside layers have row "". */
  grid: { rows: string[]; columns: string[] };
  modules: ModuleAnalysis[];
  totals: AnalysisTotals;
  cost: AdapterCost;
  /** Of prompt methods: what stands before the prompt. Their modules are none. */
  virtualTokens?: VirtualTokenAnalysis;
  /** Only what a number backs; what matters most first. */
  advice: Advice[];
  /** Sentences on what is unusual. */
  warnings: string[];
  /** Computing it took; of a kept result what it took then. */
  seconds: number;
  fromCache: boolean;
}

/** What a module is: "matrix" of a linear layer, "table" of an embedding, "vector" (a norm's weight), "experts" (many matrices). */
export type AnalyzedKind = "matrix" | "table" | "vector" | "experts";

export interface ModuleAnalysis {
  /** Hugging Face module path. */
  module: string;
  row: string;
  column: string;
  kind: AnalyzedKind;
  /** Numbers that the file has for it. */
  parameters: number;
  /** As the config has it; null where the method has none. */
  rank: number | null;
  alpha: number | null;
  scaling: number | null;
  /** [in, out] features. */
  shape: [number, number] | null;
  /** ‖ΔW‖, Frobenius. Null where it cannot be told, and `reason` says why. */
  norm: number | null;
  /** ‖W‖ of the base's weight, Frobenius. */
  baseNorm: number | null;
  /** ‖ΔW‖ / ‖W‖. */
  relative: number | null;
  /** Null where there is no matrix, it is zero, or it cannot be told. */
  spectrum: Spectrum | null;
  /** ‖Δb‖ where a bias changes, too. */
  biasNorm: number | null;
  /** Numbers that are NaN or infinite; then norm and spectrum are null. */
  notFinite: number;
  /** Why a number is null; a sentence. */
  reason?: string;
}

/** Singular values of ΔW. */
export interface Spectrum {
  /** Largest first, at most `spectrumLength`. */
  values: number[];
  /** Share of ‖ΔW‖² that lies in so many of the first directions: energy[0] of one, energy[1] of two. */
  energy: number[];
  /** How many singular values ΔW has: the rank of its factors, or its smaller side. */
  count: number;
  /** exp of the entropy of σ / Σσ (Roy & Vetterli 2007); null where only the leading values are known. */
  effectiveRank: number | null;
  /** ‖ΔW‖² / σ₁². */
  stableRank: number;
  /** False where `values` are the leading ones alone: a large matrix that is not of low rank. */
  isWhole: boolean;
}

export interface AnalysisTotals {
  modules: number;
  /** Modules with a norm. */
  measured: number;
  parameters: number;
  /** Root of the sum of ‖ΔW‖² over measured modules. */
  norm: number | null;
  /** The same of ‖W‖, and the share. */
  baseNorm: number | null;
  relative: number | null;
  /** Mean over modules with a spectrum, weighted by ‖ΔW‖². */
  effectiveRank: number | null;
  /** Smallest and largest rank of the config; null without. */
  ranks: [number, number] | null;
  /** Of layers that hold a share of ‖ΔW‖²: "layers.3" → 0 to 1. */
  rowShares: { row: string; share: number }[];
  /** The same of kinds of modules: "q_proj". */
  columnShares: { column: string; share: number }[];
}

/**
 * What takes part at run time: a low-rank update is an input of the session as it is; another part has
 * the session built anew once, when the adapter is loaded; some run the model or another one beside it.
 */
export type CostKind =
  | "lowRank"
  | "gated"
  | "delta"
  | "routed"
  | "fed"
  | "inputScale"
  | "outputScale"
  | "shift"
  | "newRows"
  | "embedding"
  | "norm"
  | "attention"
  | "experts"
  | "virtualTokens"
  | "cachePrefix"
  | "router"
  | "companion";

export interface CostPart {
  kind: CostKind;
  modules: number;
  /** fp32, as the session is fed. */
  bytes: number;
  /** Floating-point operations for a token; two for a multiplication and an addition. */
  flops: number;
  needs: "nothing" | "rebuiltSession" | "extraPass";
}

export interface AdapterCost {
  parts: CostPart[];
  bytes: number;
  flops: number;
  /** Of the base's linear layers; attention, which grows with the context, is left out. Null without a base. */
  base: { bytes: number; flops: number } | null;
  /** Tokens that stand before every prompt. */
  extraTokens: number;
}

export interface VirtualTokenAnalysis {
  /** "embeddings" before the prompt, or "keys and values" in the cache. */
  what: "embeddings" | "keysAndValues";
  count: number;
  /** Of each virtual token, Euclidean: the embedding's, or of keys and values over all layers. */
  norms: number[];
  /** Mean of the norms of the base's own embeddings, to compare with; null without a base or for a cache. */
  baseMean: number | null;
}

export type AdviceKind =
  | "notFinite"
  | "changesNothing"
  | "zeroModules"
  | "resize"
  | "dominantRow"
  | "dominantColumn"
  | "large"
  | "tiny"
  | "scaling"
  | "conflict"
  | "nearlySame";

/** A sentence that a number backs, and the number. */
export interface Advice {
  kind: AdviceKind;
  level: "error" | "warning" | "info";
  /** In the editor's language. */
  text: string;
  numbers: Record<string, number>;
  /** Modules concerned, worst first; at most 10, none where it is of all. */
  modules: string[];
  /** Rank that "resize" speaks of. */
  rank?: number;
}

/** Intruder dimensions (https://arxiv.org/abs/2410.21228): costly, a whole decomposition of every base matrix. */
export interface FindIntrudersParams extends AnalyzeParams {
  /** Directions of W + ΔW looked at; 10. */
  topK?: number;
  /** Below this likeness to every direction of W a direction is an intruder; 0.5. */
  threshold?: number;
}

export interface IntruderAnalysis {
  base: { path: string; name: string };
  topK: number;
  threshold: number;
  modules: ModuleIntruders[];
  /** Sum over modules. */
  intruders: number;
  seconds: number;
  fromCache: boolean;
}

export interface ModuleIntruders {
  module: string;
  row: string;
  column: string;
  /** Null where it cannot be told, and `reason` says why. */
  intruders: number | null;
  /** Largest |cosine| of each looked-at direction to the left singular vectors of W, largest direction first. */
  likeness: number[];
  reason?: string;
}

export interface CompareParams {
  /** Folders of adapters. */
  a: string;
  b: string;
  /** As in AnalyzeParams; when absent where the config of `a` leads, else that of `b`. */
  base?: string | null;
  only?: string[];
  cache?: string;
}

export interface AdapterComparison {
  a: AdapterSummary;
  b: AdapterSummary;
  base: AnalysisBase;
  baseMissing?: string;
  /** Every field that either config has; those that differ first. */
  config: ConfigDifference[];
  grid: { rows: string[]; columns: string[] };
  modules: ModuleComparison[];
  totals: ComparisonTotals;
  advice: Advice[];
  warnings: string[];
  seconds: number;
  fromCache: boolean;
}

export interface ConfigDifference {
  field: string;
  /** Null where the config has no such field. */
  a: { value: unknown } | null;
  b: { value: unknown } | null;
  differs: boolean;
  meaning: string;
}

export interface ModuleComparison {
  module: string;
  row: string;
  column: string;
  /** Which of the two change it. */
  changedBy: "both" | "a" | "b";
  /** ‖ΔA‖ and ‖ΔB‖; null where it cannot be told, 0 where an adapter has nothing. */
  normA: number | null;
  normB: number | null;
  /** ⟨ΔA, ΔB⟩ / (‖ΔA‖ ‖ΔB‖), −1 to 1; null where a side is zero or unknown. */
  cosine: number | null;
  overlap: SubspaceOverlap | null;
  merge: MergeForecast | null;
  reason?: string;
}

/** φ of Hu et al. 2021, §7: ‖Uᵀ V‖² / k of the first k directions; 0 is no common direction, 1 the same subspace. */
export interface SubspaceOverlap {
  /** Of left singular vectors (what is written); left[0] is of one direction, left[1] of two. */
  left: number[];
  /** Of right singular vectors (what is read). */
  right: number[];
  /** [in, out]: random subspaces of k directions have k / out (left) and k / in (right). */
  shape: [number, number];
}

/** What adding the two, each at weight 1, would do. */
export interface MergeForecast {
  /** ‖ΔA + ΔB‖. */
  norm: number;
  /** ‖ΔA + ΔB‖ / (‖ΔA‖ + ‖ΔB‖): 1 they agree, 0.7 they do not meet (equal norms), 0 they cancel. */
  kept: number;
  /** Share of sampled entries whose signs differ, of those that neither has at zero. */
  signConflicts: number | null;
  /** The same of entries that TIES would keep of both at this density (Yadav et al. 2023). */
  trimmedConflicts: number | null;
  density: number;
  sampled: number;
}

export interface ComparisonTotals {
  modules: number;
  both: number;
  onlyA: number;
  onlyB: number;
  normA: number | null;
  normB: number | null;
  /** Over all modules as one vector. */
  cosine: number | null;
  /** ‖ΔA + ΔB‖ / (‖ΔA‖ + ‖ΔB‖) over all modules. */
  kept: number | null;
  signConflicts: number | null;
  trimmedConflicts: number | null;
  /** Mean over modules of φ at the largest k that both have. */
  overlap: { left: number; right: number } | null;
}

export type AnalysisContract = {
  analyzeAdapter: { params: AnalyzeParams; result: AdapterAnalysis; event: ProgressEvent };
  findIntruders: { params: FindIntrudersParams; result: IntruderAnalysis; event: ProgressEvent };
  compareAdapters: { params: CompareParams; result: AdapterComparison; event: ProgressEvent };
};
