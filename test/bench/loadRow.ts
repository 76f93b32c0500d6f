import type { MemoryEstimate } from "../../extension/core/memoryEstimate.ts";
import type { LoadBaseModelOptions } from "../../extension/core/baseModel.ts";
import type { Memory } from "./processMemory.ts";

/** What one process of the load benchmark does. */
export interface LoadRequest {
  readonly folder: string;
  readonly options: LoadBaseModelOptions;
  /** Where its random adapter is written. */
  readonly adapter: string;
}

/** Tokens per second. */
export interface Speed {
  readonly prefill: number;
  readonly decode: number;
}

export interface LoadResult {
  readonly seconds: number;
  /** Seconds of each step that the load reported. */
  readonly steps: Readonly<Record<string, number>>;
  readonly before: Memory;
  readonly loaded: Memory;
  readonly after: Memory;
  readonly plain: Speed;
  readonly adapted: Speed;
  readonly estimate: MemoryEstimate;
}
