/** How many steps a run has, and which batches each takes: as transformers' Trainer counts them. */
import type { DataPosition, EpochPlan, Split } from "./data/batch.ts";
import type { TrainingOptions } from "./options.ts";

export interface RunLength {
  /** Batches of one pass over the data. */
  readonly batches: number;
  readonly stepsPerEpoch: number;
  readonly steps: number;
  readonly epochs: number;
}

/** The batches of one epoch, in the order in which they are taken. */
export function epochPlan(data: Split, epoch: number, options: TrainingOptions): EpochPlan {
  return data.plan({
    epoch,
    batchSize: options.batchSize,
    seed: options.seed,
    isShuffled: options.shuffle,
    groupByLength: options.groupByLength,
    accumulation: options.gradientAccumulation,
  });
}

/** @param batches of one pass over the data */
export function runLength(batches: number, options: TrainingOptions): RunLength {
  const { gradientAccumulation: accumulation, maxSteps, epochs } = options;
  // The last step of an epoch takes what is left.
  const stepsPerEpoch = Math.max(1, Math.ceil(batches / accumulation));
  const steps = maxSteps ?? Math.ceil(epochs * stepsPerEpoch);
  return {
    batches,
    stepsPerEpoch,
    steps,
    epochs: maxSteps === undefined ? epochs : Math.ceil(maxSteps / stepsPerEpoch),
  };
}

/** Where the data stand after so many steps, for checkpoints that do not say it. */
export function positionAfter(
  steps: number,
  { stepsPerEpoch, batches }: RunLength,
  accumulation: number,
): DataPosition {
  const epoch = Math.floor(steps / stepsPerEpoch);
  return { epoch, batch: Math.min(batches, (steps % stepsPerEpoch) * accumulation) };
}
