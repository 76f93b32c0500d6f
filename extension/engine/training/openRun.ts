/** From a run's config to what the core trains: base, adapter, data, hyper-parameters. */
import { t } from "@vscode/l10n";
import { notFound } from "../../core/base/errors.ts";
import { isFolder } from "../../core/base/files.ts";
import type { OnProgress } from "../../core/base/progress.ts";
import { parseAdapterConfig } from "../../core/checkpoint/adapterConfig.ts";
import type { Precision } from "../../core/quant/plan.ts";
import {
  type AdapterStart,
  continued,
  openTrainingBase,
  type TrainingBase,
} from "../../core/prepareTraining.ts";
import type { Dataset } from "../../core/train/data/dataset.ts";
import type { LossKind } from "../../core/train/losses.ts";
import type { TrainingWish } from "../../core/train/options.ts";
import type { RunConfig } from "../../protocol/trainingContract.ts";
import { openRunData } from "./runData.ts";

export interface Work {
  onProgress: OnProgress;
  signal: AbortSignal;
}

export interface OpenedRun {
  readonly base: TrainingBase;
  readonly adapter: AdapterStart;
  readonly data: Dataset;
  readonly options: TrainingWish;
  readonly loss: LossKind | undefined;
  dispose(): Promise<void>;
}

/** Opens all that a run needs but its sessions. @throws what is wrong with config, base or data */
export async function openRun(config: RunConfig, work: Work): Promise<OpenedRun> {
  if (!(await isFolder(config.base))) {
    throw notFound(
      t("Base model"),
      config.base,
      t("Put it back, or give its new place as “base” in run.json."),
    );
  }
  const adapter = await adapterStart(config, work.signal);
  const own = adapter.kind === "new" ? adapter.config : adapter.checkpoint.config;
  const precision = (config.dtype ?? "auto") as Precision;
  const base = await openTrainingBase(config.base, { precision, ...work }, own);
  try {
    // The editor says where; a run that is started without one keeps nothing.
    const cache = process.env["GRAFT_TOKENS"];
    const { dataset: data } = await openRunData(config.base, config.data, { ...work, cache });
    const loss: LossKind | undefined = data.isMultiLabel ? "choices" : undefined;
    const dispose = async (): Promise<void> => {
      data.dispose();
      await base.dispose();
    };
    return { base, adapter, data, loss, options: optionsOf(config), dispose };
  } catch (error) {
    await base.dispose();
    throw error;
  }
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
export function optionsOf({ settings }: RunConfig): TrainingWish {
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
