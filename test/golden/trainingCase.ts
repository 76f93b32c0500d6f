import * as path from "node:path";
import { existsSync } from "node:fs";
import { continued } from "../../extension/core/adapterStart.ts";
import { openTrainingBase } from "../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../extension/core/prepareTraining.ts";
import { fileValues } from "../../extension/core/checkpointValues.ts";
import { openAdapterCheckpoint } from "../../extension/core/checkpoint/adapterCheckpoint.ts";
import type { Parameter } from "../../extension/core/peft/trainable/trainable.ts";
import type { Batch, Split } from "../../extension/core/train/data/batch.ts";
import { trainingOptions, type TrainingWish } from "../../extension/core/train/options.ts";
import { readOptimizer, readScheduleStep } from "../../extension/core/train/optimizerFiles.ts";
import { type ScheduleOptions, scheduleOf } from "../../extension/core/train/schedule.ts";
import { Trainer } from "../../extension/core/train/trainer.ts";
import { type ModelParts, TrainingModel } from "../../extension/core/train/trainingModel.ts";
import { expect, Skip } from "./outcome.ts";
import { readJson, readTruths, type Truth } from "./truth.ts";

interface Training {
  architecture: string;
  lr: number;
  weight_decay: number;
  steps: number;
  gradient_accumulation: number;
  clip_grad_norm: number | null;
  optimizer: string;
  losses: number[];
  learning_rates: number[][];
  gradient_norms_before_clipping: number[];
  loss_normalisation: string;
  parameter_order: string[];
}

const tolerances = { loss: 1e-4, gradient: 1e-4, tensor: 1e-3 };

/** The method that a case trains, for the table. */
export function trainedMethod(folder: string): string {
  const config = path.join(folder, "initial_adapter", "adapter_config.json");
  return readJson<{ peft_type: string }>(config).peft_type;
}

/** One folder of training/<case>: losses of every step, gradients of the first, tensors at the end. */
export async function checkTrainingCase(folder: string, root: string): Promise<string> {
  const truth = readJson<Training>(path.join(folder, "training.json"));
  const tensors = await readTruths(path.join(folder, "training.safetensors"));
  const models = path.join(root, "models", truth.architecture);
  const random = baseDropout(models);
  if (random !== null) throw new Skip(random);
  const start = await continued(path.join(folder, "initial_adapter"));
  if (start.kind !== "continue") throw new Error("a case begins with an adapter");
  const base = await openTrainingBase(models, {}, start);
  const options = trainingOptions.parse(wishOf(truth));
  try {
    const prepared = await prepareTraining(base, start, { seed: 0 });
    const parts = movesRanks(folder) ? prepared : withoutAllocation(prepared);
    expect(
      parts.adapter.parameters
        .filter(({ isTrained }) => isTrained)
        .map(torchName)
        .join("\n") === truth.parameter_order.join("\n"),
      "parameters are in another order",
    );
    const model = await TrainingModel.create(parts, options, { threads: 1 });
    try {
      const gradients = await firstGradients(model, { truth, tensors, options });
      const run = await compareRun(model, { truth, tensors, options });
      const resumed = existsSync(path.join(folder, "checkpoint-5", "optimizer.pt"))
        ? await compareResumed(model, folder, { truth, tensors, options })
        : "";
      return `${gradients}, ${run}${resumed}`;
    } finally {
      await model.dispose();
    }
  } finally {
    await base.dispose();
  }
}

/** Did the loop call AdaLoRA's update_and_allocate? PEFT then saves what is left. */
function movesRanks(folder: string): boolean {
  const config = path.join(folder, "final_adapter", "adapter_config.json");
  return existsSync(config) && Boolean(readJson<{ rank_pattern?: unknown }>(config).rank_pattern);
}

function withoutAllocation(parts: ModelParts): ModelParts {
  const { allocator: _allocator, ...adapter } = parts.adapter;
  return { ...parts, adapter };
}

/**
 * Why a case cannot be compared: transformers drops out parts of these bases as well, by numbers of a
 * generator whose state no file has (PEFT itself does not come to its own losses again).
 */
function baseDropout(models: string): string | null {
  const config = readJson<Record<string, unknown>>(path.join(models, "config.json"));
  const found = Object.entries(config).find(
    ([key, value]) => /(dropout|_drop)(_prob)?$|pdrop$/.test(key) && Number(value) > 0,
  );
  return found ? `the base drops out at random (${found[0]} ${String(found[1])})` : null;
}

interface Case {
  truth: Training;
  tensors: ReadonlyMap<string, Truth>;
  options: ReturnType<typeof trainingOptions.parse>;
}

function wishOf(truth: Training): TrainingWish {
  return {
    learningRate: truth.lr,
    weightDecay: truth.weight_decay,
    // torch.optim.AdamW over all parameters.
    weightDecayOn: "all",
    maxSteps: truth.steps,
    batchSize: 4,
    gradientAccumulation: truth.gradient_accumulation,
    maxGradNorm: truth.clip_grad_norm ?? 0,
    lossNormalization: truth.loss_normalisation.startsWith("sum") ? "tokens" : "batches",
    schedule: scheduleLike(truth),
    optimizer: optimizerOf(truth.optimizer),
    shuffle: false,
  };
}

function optimizerOf(text: string): NonNullable<TrainingWish["optimizer"]> {
  if (text.startsWith("SGD")) {
    const momentum = Number(/momentum=([\d.]+)/.exec(text)?.[1] ?? 0);
    return { kind: "sgd", momentum, nesterov: /nesterov=True/.test(text) };
  }
  const [first, second] = /betas=\(?([\d.]+),\s*([\d.]+)/.exec(text)?.slice(1).map(Number) ?? [];
  const epsilon = Number(/eps=([\de.-]+)/.exec(text)?.[1] ?? 1e-8);
  return { kind: "adamw", betas: [first ?? 0.9, second ?? 0.999], epsilon };
}

/** The schedule that gives a case's learning rates. */
function scheduleLike({ learning_rates: rates, lr, steps }: Training): ScheduleOptions {
  for (const type of [
    "constant",
    "linear",
    "cosine",
    "polynomial",
    "constant_with_warmup",
  ] as const) {
    for (let warmupSteps = 0; warmupSteps <= steps; warmupSteps++) {
      const schedule = scheduleOf({ type, warmupSteps }, { steps, rate: lr });
      const isIt = rates.every(
        ([rate], step) => Math.abs(lr * schedule(step) - (rate as number)) < 1e-9 * lr,
      );
      if (isIt) return { type, warmupSteps };
    }
  }
  throw new Error("no schedule gives these learning rates");
}

/** The case's batches, the same ones at every step. */
function dataOf({ tensors, truth }: Case): Split {
  const ids = tensors.get("input_ids") as Truth;
  const labels = tensors.get("labels") as Truth;
  const mask = tensors.get("attention_mask") as Truth;
  const types = tensors.get("token_type_ids");
  const [rows = 0, length = 0] = ids.shape;
  const size = rows / truth.gradient_accumulation;
  const batch = (index: number): Batch => {
    const part = (of: Truth): Int32Array => {
      const width = of.shape.length === 1 ? 1 : (of.shape[1] as number);
      return integers(of).subarray(index * size * width, (index + 1) * size * width);
    };
    const own = part(labels);
    const isPerToken = labels.shape.length === 2;
    const learned = own.filter((label, i) => label !== -100 && !(isPerToken && i % length === 0));
    return {
      rows: size,
      length,
      inputIds: part(ids),
      attentionMask: part(mask),
      labels: own,
      ...(types && { tokenTypes: part(types) }),
      learnedTokens: learned.length,
      tokens: part(mask).reduce((sum, real) => sum + real, 0),
    };
  };
  const plan = { batches: truth.gradient_accumulation, batch };
  return { count: rows, lengths: new Uint32Array(rows).fill(length), plan: () => plan };
}

async function firstGradients(model: TrainingModel, at: Case): Promise<string> {
  const plan = dataOf(at).plan({ epoch: 0, batchSize: 4, seed: 0, isShuffled: false });
  const batches = Array.from({ length: plan.batches }, (_, i) => plan.batch(i));
  const terms = batches.map((batch) => model.termsOf(batch));
  const all = terms.reduce((sum, count) => sum + count, 0);
  for (const [i, batch] of batches.entries()) {
    const isByToken = at.options.lossNormalization === "tokens";
    const share = isByToken ? 1 / all : 1 / ((terms[i] as number) * batches.length);
    await model.step(batch, { share, seed: 0 });
  }
  const gradients = model.parameters.gradients();
  model.parameters.dropGradients();
  let worst = 0;
  for (const [name, own] of gradients) {
    const truth = at.tensors.get(`grad0/${named(model, name)}`);
    expect(truth !== undefined, `PEFT has no gradient of ${name}`);
    worst = Math.max(worst, relative(own, (truth as Truth).data as Float32Array));
  }
  expect(worst <= tolerances.gradient, `gradients differ by ${worst.toExponential(1)}`);
  return `gradients ${worst.toExponential(1)}`;
}

async function compareRun(model: TrainingModel, at: Case): Promise<string> {
  const trainer = new Trainer(model, { train: dataOf(at) }, at.options);
  await trainer.train();
  const losses = lossesOf(trainer);
  const worst = differenceOfLosses(losses, at.truth.losses);
  const norms = trainer.history.log.map(({ grad_norm: norm }) => norm as number);
  const strange = norms.findIndex((norm, i) => {
    const truth = at.truth.gradient_norms_before_clipping[i] as number;
    return Math.abs(norm - truth) > 1e-3 * Math.max(1, truth);
  });
  expect(strange === -1, `norm of step ${strange + 1} is ${norms[strange]}`);
  return `losses ${worst.toExponential(1)}, tensors ${finalDifference(model, at).toExponential(1)}`;
}

/** Goes on from a checkpoint that transformers wrote. */
async function compareResumed(model: TrainingModel, folder: string, at: Case): Promise<string> {
  const place = path.join(folder, "checkpoint-5");
  const { adapter } = model.parts;
  const values = await fileValues(adapter, await openAdapterCheckpoint(place));
  const trained = adapter.parameters.filter(({ isTrained }) => isTrained);
  const state = await readOptimizer(path.join(place, "optimizer.pt"), [trained]);
  model.parameters.restore(values, state);
  const trainer = new Trainer(model, { train: dataOf(at) }, at.options);
  trainer.history.step = existsSync(path.join(place, "scheduler.pt"))
    ? await readScheduleStep(path.join(place, "scheduler.pt"))
    : state.updates;
  await trainer.train();
  const worst = differenceOfLosses(lossesOf(trainer), at.truth.losses.slice(5));
  return `; resumed: losses ${worst.toExponential(1)}, tensors ${finalDifference(model, at).toExponential(1)}`;
}

function lossesOf({ history }: Trainer): number[] {
  return history.log.map(({ loss }) => loss as number);
}

function differenceOfLosses(losses: readonly number[], truth: readonly number[]): number {
  expect(losses.length === truth.length, `${losses.length} steps, PEFT has ${truth.length}`);
  const worst = Math.max(...losses.map((loss, i) => Math.abs(loss - (truth[i] as number))));
  expect(worst <= tolerances.loss, `losses differ by ${worst.toExponential(1)}: ${losses.join()}`);
  return worst;
}

function finalDifference(model: TrainingModel, { tensors }: Case): number {
  let [worst, compared] = [0, 0];
  for (const { name } of model.parts.adapter.parameters.filter(({ isTrained }) => isTrained)) {
    const own = model.parameters.values().get(name) as Float32Array;
    const truth = tensors.get(`final/${named(model, name)}`) ?? tensors.get(`final/${name}`);
    if (!truth) continue;
    compared++;
    own.forEach((value, i) => {
      worst = Math.max(worst, Math.abs(value - Number(truth.data[i])));
    });
  }
  expect(compared > 0, "no final tensor was compared");
  expect(worst <= tolerances.tensor, `final tensors differ by ${worst.toExponential(1)}`);
  return worst;
}

/** Largest difference, relative to the largest value. */
function relative(own: Float32Array, truth: Float32Array): number {
  let [difference, largest] = [0, 1e-12];
  truth.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(value - (own[i] as number)));
    largest = Math.max(largest, Math.abs(value));
  });
  return difference / largest;
}

function torchName({ name, torchName: other = name }: Parameter): string {
  return other;
}

/** A parameter's name in named_parameters(), which truths go by. */
function named({ parts }: TrainingModel, name: string): string {
  const own = parts.adapter.parameters.find((parameter) => parameter.name === name);
  return own ? torchName(own) : name;
}

function integers({ data }: Truth): Int32Array {
  return Int32Array.from(data, Number);
}
