/** From a run's config to what the core trains: base, adapter, data, hyper-parameters. */
import { t } from "@vscode/l10n";
import { badRequest, notFound } from "../../core/base/errors.ts";
import { isFolder } from "../../core/base/files.ts";
import type { OnProgress } from "../../core/base/progress.ts";
import { parseAdapterConfig } from "../../core/checkpoint/adapterConfig.ts";
import type { Precision } from "../../core/quant/plan.ts";
import { type AdapterStart, continued } from "../../core/adapterStart.ts";
import { openTrainingBase, type TrainingBase } from "../../core/trainingBase.ts";
import { describeConfig } from "../../core/models/describeConfig.ts";
import { headOf, type Task } from "../../core/models/model.ts";
import type { Dataset } from "../../core/train/data/dataset.ts";
import type { DataTask } from "../../core/train/data/formats/recordFormat.ts";
import type { TrainingWish } from "../../core/train/options.ts";
import type { RunConfig } from "../../protocol/trainingContract.ts";
import { openRunData, type RunDataOptions } from "./runData.ts";

export interface Work {
  onProgress: OnProgress;
  signal: AbortSignal;
  /** Where rounded weights are kept for the next time; nowhere when absent. */
  quantCacheDir?: string | undefined;
}

/** How much of a run is opened. */
interface Opening extends Pick<RunDataOptions, "limit"> {
  /** The base is measured with: its rounded weights need not be made. */
  readonly sizesOnly?: boolean;
}

export interface OpenedRun {
  readonly base: TrainingBase;
  readonly adapter: AdapterStart;
  readonly data: Dataset;
  readonly options: TrainingWish;
  dispose(): Promise<void>;
}

/**
 * Opens all that a run needs but its sessions.
 * @param opening how much of it; all when absent
 * @throws what is wrong with config, base or data
 */
export async function openRun(
  config: RunConfig,
  work: Work,
  opening: Opening = {},
): Promise<OpenedRun> {
  if (!(await isFolder(config.base))) {
    throw notFound(
      t("Base model"),
      config.base,
      t("Put it back, or give its new place as “base” in run.json."),
    );
  }
  const adapter = await adapterStart(config, work.signal);
  const { base, data } = await openBoth(config, adapter, { ...work, ...opening });
  const dispose = async (): Promise<void> => {
    data.dispose();
    await base.dispose();
  };
  try {
    checkTask(data, base);
    return { base, adapter, data, options: optionsOf(config), dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Labels of a new adapter's head are the data's; an adapter that is trained on has its own. */
async function openBoth(
  { base: folder, data: asked, dtype }: RunConfig,
  adapter: AdapterStart,
  work: Work & Opening,
): Promise<{ base: TrainingBase; data: Dataset }> {
  const precision = (dtype ?? "auto") as Precision;
  const { limit, sizesOnly = false, quantCacheDir, ...plain } = work;
  const kept = quantCacheDir === undefined ? {} : { quantCacheDir };
  const options = { precision, sizesOnly, ...kept, ...plain };
  // The editor says where tokens are kept; a run that is started without it keeps nothing.
  const cache = process.env["GRAFT_TOKENS"];
  const read = { ...plain, ...(limit === undefined ? { cache } : { limit }) };
  if (adapter.kind === "continue") {
    const base = await openTrainingBase(folder, options, adapter);
    try {
      const { config } = base.checkpoint;
      return { base, data: (await openRunData(folder, asked, { ...read, config })).dataset };
    } catch (error) {
      await base.dispose();
      throw error;
    }
  }
  const { dataset: data } = await openRunData(folder, asked, read);
  try {
    const { labels, problem } = data;
    const head = labels.length > 0 ? { labels, problem, isNew: asked.head === "new" } : undefined;
    return { data, base: await openTrainingBase(folder, { ...options, head }, adapter) };
  } catch (error) {
    data.dispose();
    throw error;
  }
}

const tasksOfData: Readonly<Record<DataTask, Task>> = {
  causal: "language-modeling",
  seq2seq: "language-modeling",
  "sequence-classification": "sequence-classification",
  "token-classification": "token-classification",
  "question-answering": "question-answering",
};

/** @throws bad-request where base and adapter are for something else than the data */
function checkTask({ task }: Dataset, { checkpoint }: TrainingBase): void {
  const own = headOf(describeConfig(checkpoint)).task;
  if (tasksOfData[task] === own) return;
  throw badRequest(
    t(
      "The training data is for {0}, base and adapter are for {1}. Choose the task that the data is for (task_type of the adapter), or other data.",
      tasksOfData[task].replaceAll("-", " "),
      own.replaceAll("-", " "),
    ),
  );
}

export async function adapterStart(
  { adapter }: Pick<RunConfig, "adapter">,
  signal: AbortSignal,
): Promise<AdapterStart> {
  if (adapter.kind === "continue") return continued(adapter.path, signal);
  const text = JSON.stringify(adapter.config);
  return { kind: "new", config: parseAdapterConfig(text, "adapter_config.json") };
}

/** The contract's settings as the core's options; there an absent number means "every epoch". */
function optionsOf({ settings }: RunConfig): TrainingWish {
  const never = Number.MAX_SAFE_INTEGER;
  const { schedule, warmupSteps, optimizer, maxGradientNorm, loraPlusRatio } = settings;
  const { earlyStoppingThreshold = 0 } = settings;
  return {
    epochs: settings.epochs,
    ...(settings.maxSteps !== undefined && { maxSteps: settings.maxSteps }),
    batchSize: settings.batchSize,
    gradientAccumulation: settings.gradientAccumulation,
    learningRate: settings.learningRate,
    schedule: { type: schedule, warmupSteps },
    optimizer: { kind: optimizer },
    weightDecay: settings.weightDecay,
    maxGradNorm: maxGradientNorm,
    ...(loraPlusRatio !== undefined && { loraPlus: { ratio: loraPlusRatio } }),
    groupByLength: settings.groupByLength,
    gradientCheckpointing: settings.gradientCheckpointing,
    baseDropout: settings.baseDropout ?? true,
    seed: settings.seed,
    evalSteps: settings.evaluateEvery || never,
    saveSteps: settings.saveEvery || never,
    ...(settings.keepCheckpoints > 0 && { saveTotalLimit: settings.keepCheckpoints }),
    ...(settings.loadBest === true && { loadBestModelAtEnd: true }),
    ...(settings.earlyStopping > 0 && {
      earlyStopping: { patience: settings.earlyStopping, threshold: earlyStoppingThreshold },
    }),
  };
}
