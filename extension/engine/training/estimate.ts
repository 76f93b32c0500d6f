import { t } from "@vscode/l10n";
import { freeMemory } from "../../core/base/machine.ts";
import type { OnProgress } from "../../core/base/progress.ts";
import { totalElements } from "../../core/base/shape.ts";
import { preparationOf } from "../../core/peft/loraPreparations.ts";
import type { AdapterStart } from "../../core/adapterStart.ts";
import { prepareTraining } from "../../core/prepareTraining.ts";
import type { TrainingBase } from "../../core/trainingBase.ts";
import type { Dataset } from "../../core/train/data/dataset.ts";
import { type TrainingOptions, trainingOptions } from "../../core/train/options.ts";
import { runLength } from "../../core/train/plan.ts";
import { TrainingModel } from "../../core/train/trainingModel.ts";
import type { HandlerContext } from "../../protocol/connection.ts";
import type { ProgressEvent } from "../../protocol/engineContract.ts";
import type { EstimateParams, TrainingEstimate } from "../../protocol/trainingContract.ts";
import { beginningWarnings } from "./beginningTime.ts";
import { openRun } from "./openRun.ts";

/** Records that are read for it; of larger data the rest is reckoned by bytes. */
const sampled = 2000;

/** What a process takes before it trains anything: Node and ONNX Runtime. */
const processBytes = 100e6;

/** Runs one step with the longest batch, and says what the whole run will take. Nothing is written. */
export async function estimateTraining(
  { config, quantCache }: EstimateParams,
  { emit, signal }: HandlerContext<ProgressEvent>,
): Promise<TrainingEstimate> {
  const read = { done: 0, total: 0 };
  const onProgress = (event: ProgressEvent): void => {
    if (event.unit === "bytes") Object.assign(read, { done: event.done, total: event.total });
    emit(event);
  };
  const asked = { ...config, data: { ...config.data, skipBroken: true } };
  const work = { onProgress, signal, quantCacheDir: quantCache };
  const opened = await openRun(asked, work, { limit: sampled, sizesOnly: true });
  try {
    const { base, adapter, data: dataset } = opened;
    const options = trainingOptions.parse(opened.options);
    const share = dataset.isWhole || read.done === 0 ? 1 : read.total / read.done;
    const batches = Math.ceil((dataset.training.count * share) / options.batchSize);
    const { steps } = runLength(batches, options);
    const { usualSeconds, ...measured } = await measure(base, adapter, {
      dataset,
      options,
      onProgress: emit,
      signal,
    });
    return { ...measured, steps, seconds: steps * usualSeconds };
  } finally {
    await opened.dispose();
  }
}

type Measured = Omit<TrainingEstimate, "steps" | "seconds"> & { usualSeconds: number };

async function measure(
  base: TrainingBase,
  adapter: AdapterStart,
  at: { dataset: Dataset; options: TrainingOptions; onProgress: OnProgress; signal: AbortSignal },
): Promise<Measured> {
  const { dataset, options, onProgress, signal } = at;
  const { free } = await freeMemory();
  const before = process.memoryUsage.rss();
  onProgress({ step: t("Building the graph of training") });
  // What initialisations find out in the data costs time once, and no step is the slower for it.
  const isRestored = adapter.kind === "new" && preparationOf(adapter.config) !== null;
  const { seed, baseDropout } = options;
  const own = { seed, baseDropout, isRestored, onProgress, signal, sizesOnly: true };
  const parts = await prepareTraining(base, adapter, own);
  const model = await TrainingModel.create(parts, options);
  onProgress({ step: t("Taking a step with the longest texts") });
  const step = await measureStep(model, dataset, options).finally(() => model.dispose());
  const trained = parts.adapter.parameters.filter(({ isTrained }) => isTrained);
  return {
    secondsPerStep: step.seconds,
    usualSeconds: step.usualSeconds,
    memory: processBytes + Math.max(0, step.memory - before),
    freeMemory: free,
    trainableParameters: totalElements(trained),
    parameters: base.checkpoint.parameters,
    warnings: [...(parts.warnings ?? []), ...beginningWarnings(parts.adapter)],
  };
}

interface MeasuredStep {
  /** Of a step of the longest batches, and of one as long as they are on average. */
  readonly seconds: number;
  readonly usualSeconds: number;
  readonly memory: number;
}

async function measureStep(
  model: TrainingModel,
  { training }: Dataset,
  { batchSize, gradientAccumulation, seed }: TrainingOptions,
): Promise<MeasuredStep> {
  // Grouped by length, the longest text comes first.
  const order = { epoch: 0, batchSize, seed, isShuffled: true, groupByLength: true };
  const batch = training.plan(order).batch(0);
  const at = { share: 1 / Math.max(1, model.termsOf(batch)), seed };
  // The first one plans its memory.
  await model.step(batch, at);
  const started = performance.now();
  await model.step(batch, at);
  const batchSeconds = (performance.now() - started) / 1000;
  await model.parameters.update(model.session, { factor: 0, limit: Infinity });
  const updateSeconds = (performance.now() - started) / 1000 - batchSeconds;
  const mean = training.lengths.reduce((sum, length) => sum + length, 0) / training.count;
  const step = (share: number): number =>
    gradientAccumulation * batchSeconds * share + updateSeconds;
  const memory = process.memoryUsage.rss();
  return { seconds: step(1), usualSeconds: step(Math.min(1, mean / batch.length)), memory };
}
