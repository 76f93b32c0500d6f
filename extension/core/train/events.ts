import type { Metrics } from "./metrics.ts";

/** What a run tells while it goes on. Plain data: they cross processes and are lines of log.jsonl. */
export type TrainingEvent =
  | StepEvent
  | EvaluationEvent
  | CheckpointEvent
  | { readonly kind: "samples"; readonly step: number; readonly samples: readonly Sample[] }
  /** What is unusual, in a sentence. */
  | { readonly kind: "note"; readonly step: number; readonly text: string }
  /** `reason`: a sentence on why the run waits, where nobody asked it to. */
  | { readonly kind: "paused"; readonly step: number; readonly reason?: string }
  | { readonly kind: "resumed"; readonly step: number };

export interface StepEvent {
  readonly kind: "step";
  readonly step: number;
  readonly steps: number;
  /** Passes over the data so far, with a fraction. */
  readonly epoch: number;
  readonly loss: number;
  readonly learningRate: number;
  /** Of all gradients together, before clipping. */
  readonly gradNorm: number;
  /** Without padding, since the run began. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
}

export interface EvaluationEvent {
  readonly kind: "evaluation";
  readonly step: number;
  readonly epoch: number;
  /** Mean over all labels of the evaluation texts. */
  readonly loss: number;
  /** Of models with labels. */
  readonly metrics?: Metrics;
  readonly seconds: number;
  /** Is it the least so far? */
  readonly isBest: boolean;
}

export interface CheckpointEvent {
  readonly kind: "checkpoint";
  readonly step: number;
  readonly folder: string;
}

/** An answer at a point of the run. */
export interface Sample {
  readonly prompt: string;
  readonly answer: string;
}

/** How a run ended. */
export interface TrainingEnd {
  readonly finish: "done" | "stopped" | "early";
  readonly step: number;
  /** Mean loss over the steps of this run. */
  readonly loss: number;
  readonly bestStep: number | null;
  readonly bestLoss: number | null;
  readonly seconds: number;
  readonly tokens: number;
}
