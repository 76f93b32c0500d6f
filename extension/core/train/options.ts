/** How a run learns: its hyper-parameters, under the names of transformers' TrainingArguments in camel case. */
import { z } from "zod";
import { scheduleTypes } from "./schedule.ts";

const positive = z.number().positive();
const count = z.int().positive();
const fraction = z.number().min(0).max(1);

const schedule = z.strictObject({
  type: z.enum(scheduleTypes).default("linear"),
  warmupSteps: z.int().nonnegative().default(0),
  warmupRatio: fraction.default(0),
  cycles: positive.optional(),
  power: positive.optional(),
  endRate: z.number().nonnegative().optional(),
});

const optimizer = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("adamw"),
    betas: z.tuple([fraction, fraction]).default([0.9, 0.999]),
    epsilon: positive.default(1e-8),
  }),
  z.strictObject({
    kind: z.literal("sgd"),
    momentum: fraction.default(0),
    dampening: fraction.default(0),
    nesterov: z.boolean().default(false),
  }),
]);

/** Everything that decides what comes out of a run, but for its data and its adapter's config. */
export const trainingOptions = z.strictObject({
  learningRate: positive.default(2e-4),
  schedule: schedule.prefault({}),
  optimizer: optimizer.prefault({ kind: "adamw" }),
  weightDecay: z.number().nonnegative().default(0),
  /** "weights" leaves out biases and norms, as transformers does; "all" decays every tensor. */
  weightDecayOn: z.enum(["weights", "all"]).default("weights"),
  /** LoRA+: B learns so many times as fast as A. */
  loraPlus: z
    .strictObject({ ratio: z.number().min(1), embeddingRate: positive.default(1e-6) })
    .optional(),
  /** Largest norm of all gradients together; 0 does not clip. */
  maxGradNorm: z.number().nonnegative().default(1),
  /** May be a fraction; not used where `maxSteps` is given. */
  epochs: positive.default(3),
  maxSteps: count.optional(),
  batchSize: count.default(8),
  /** Batches of one step. */
  gradientAccumulation: count.default(1),
  /**
   * "tokens" takes the mean over all labels of a step, as transformers' Trainer does; "batches" takes
   * each batch's mean, then the mean of these.
   */
  lossNormalization: z.enum(["tokens", "batches"]).default("tokens"),
  gradientCheckpointing: z.boolean().default(false),
  /** The base's own dropout (`hidden_dropout_prob` and the like), as transformers has it in training. */
  baseDropout: z.boolean().default(true),
  groupByLength: z.boolean().default(false),
  shuffle: z.boolean().default(true),
  seed: z.int().nonnegative().default(42),
  /** Steps between evaluations, 0 for none; without it once an epoch, where there is something to evaluate on. */
  evalSteps: z.int().nonnegative().optional(),
  evalBatchSize: count.optional(),
  /** Steps between checkpoints, 0 for the end alone; without it once an epoch. */
  saveSteps: z.int().nonnegative().optional(),
  /** Checkpoints that are kept, the best and the last always among them. */
  saveTotalLimit: count.optional(),
  /**
   * The best evaluation's parameters are those of the adapter at the end. Each best one is saved as it is
   * found, and what is learned last is evaluated too; transformers asks for saves at every evaluation instead.
   */
  loadBestModelAtEnd: z.boolean().default(false),
  earlyStopping: z
    .strictObject({ patience: count, threshold: z.number().nonnegative().default(0) })
    .optional(),
});

export type TrainingOptions = z.output<typeof trainingOptions>;
/** The same with defaults left out. */
export type TrainingWish = z.input<typeof trainingOptions>;
