/** `job.json`: what media/training-job/train.py trains by, in transformers' own names. */
import type { LossKind } from "../../../core/train/losses.ts";
import type { RunConfig, TrainingSettings } from "../../../protocol/trainingContract.ts";

export type JobTask = "causal" | "sequence-classification" | "token-classification";

/** Where the base is: the folder that Graft trained on, and its name on the Hub where that is known. */
export interface JobBase {
  readonly path: string;
  readonly id: string | null;
  readonly revision: string | null;
}

/** What a run's config does not say by itself. */
export interface JobFacts {
  readonly base: JobBase;
  readonly task: JobTask;
  /** Of a classifier, by id. */
  readonly labels: readonly string[] | null;
  readonly loss: LossKind;
  readonly hasEvaluation: boolean;
  /** The adapter drops out, or the base. */
  readonly hasDropout: boolean;
  /** The last token of a prompt method foretells a text's first token. */
  readonly learnsFirstToken: boolean;
  /** Each text is of a task (Poly). */
  readonly hasTasks: boolean;
  /** Of Graft's own run, by step; none where it has not trained yet. */
  readonly losses: Readonly<Record<string, number>>;
}

export interface TrainingJob extends Omit<JobFacts, "hasEvaluation" | "hasDropout" | "hasTasks"> {
  readonly version: 1;
  readonly name: string;
  /** What bitsandbytes keeps the frozen base in. */
  readonly quantization: "nf4" | "fp4" | "int8" | null;
  /** The type that weights are rounded to before they compute in float32. */
  readonly roundedTo: "bfloat16" | "float16" | null;
  /** False: what the base's config drops out is 0. */
  readonly baseDropout: boolean;
  readonly groupByLength: boolean;
  /** Rows of one step, which are grouped by length together. */
  readonly rowsOfStep: number;
  readonly loraPlus: { readonly ratio: number; readonly embeddingRate: number } | null;
  /** Evaluations without a better loss after which it ends, and what is better. */
  readonly earlyStopping: { readonly patience: number; readonly threshold: number } | null;
  /** Of transformers.TrainingArguments. */
  readonly arguments: Readonly<Record<string, unknown>>;
}

export function trainingJob({ name, dtype, settings }: RunConfig, facts: JobFacts): TrainingJob {
  const { hasEvaluation, hasDropout: _, hasTasks: __, ...own } = facts;
  const { loraPlusRatio: ratio, batchSize, gradientAccumulation } = settings;
  const { earlyStopping: patience, earlyStoppingThreshold: threshold = 0 } = settings;
  return {
    version: 1,
    name,
    ...own,
    quantization: quantizations[dtype ?? ""] ?? null,
    roundedTo: roundings[dtype ?? ""] ?? null,
    baseDropout: settings.baseDropout ?? true,
    groupByLength: settings.groupByLength,
    rowsOfStep: batchSize * gradientAccumulation,
    // PEFT's own rate for embeddings, which Graft takes as well.
    loraPlus: ratio === undefined ? null : { ratio, embeddingRate: 1e-6 },
    earlyStopping: hasEvaluation && patience > 0 ? { patience, threshold } : null,
    arguments: { ...learning(settings), ...keeping(settings, hasEvaluation) },
  };
}

/** Graft's blocks of integers are its own; bitsandbytes has what comes nearest. */
const quantizations: Readonly<Record<string, TrainingJob["quantization"]>> = {
  int4: "nf4",
  nf4: "nf4",
  fp4: "fp4",
  int8: "int8",
};

const roundings: Readonly<Record<string, TrainingJob["roundedTo"]>> = {
  bf16: "bfloat16",
  fp16: "float16",
};

function learning(settings: TrainingSettings): Record<string, unknown> {
  const { gradientCheckpointing } = settings;
  return {
    num_train_epochs: settings.epochs,
    max_steps: settings.maxSteps ?? -1,
    per_device_train_batch_size: settings.batchSize,
    per_device_eval_batch_size: settings.batchSize,
    gradient_accumulation_steps: settings.gradientAccumulation,
    learning_rate: settings.learningRate,
    lr_scheduler_type: settings.schedule,
    warmup_steps: settings.warmupSteps,
    optim: settings.optimizer === "sgd" ? "sgd" : "adamw_torch",
    weight_decay: settings.weightDecay,
    max_grad_norm: settings.maxGradientNorm,
    gradient_checkpointing: gradientCheckpointing,
    gradient_checkpointing_kwargs: gradientCheckpointing ? { use_reentrant: false } : null,
    seed: settings.seed,
    label_names: ["labels"],
    remove_unused_columns: false,
  };
}

function keeping(settings: TrainingSettings, hasEvaluation: boolean): Record<string, unknown> {
  const { evaluateEvery, saveEvery, keepCheckpoints, loadBest = false } = settings;
  const loadsBest = hasEvaluation && loadBest;
  // The best one can only be taken of evaluations that were saved.
  const saves = loadsBest ? evaluateEvery : saveEvery;
  return {
    logging_steps: 1,
    ...(hasEvaluation
      ? { eval_strategy: "steps", eval_steps: evaluateEvery }
      : { eval_strategy: "no" }),
    ...(saves > 0 ? { save_strategy: "steps", save_steps: saves } : { save_strategy: "no" }),
    load_best_model_at_end: loadsBest,
    save_total_limit: keepCheckpoints > 0 ? keepCheckpoints : null,
    // The best one is kept as well.
    metric_for_best_model: "eval_loss",
    greater_is_better: false,
  };
}
