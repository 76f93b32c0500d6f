/** trainer_state.json: where a run stands, in transformers' layout (TrainerState in trainer_callback.py). */
import * as path from "node:path";
import { z } from "zod";
import { writeAtomically } from "../base/files.ts";
import { parseFields, parseJsonObject, readText } from "../base/json.ts";
import type { EvaluationEvent, StepEvent } from "./events.ts";
import type { TrainingOptions } from "./options.ts";
import type { RunLength } from "./plan.ts";

const fields = z.looseObject({
  epoch: z.number().nullish(),
  global_step: z.int().nonnegative(),
  best_metric: z.number().nullish(),
  best_global_step: z.int().nullish(),
  num_input_tokens_seen: z.number().default(0),
  log_history: z.array(z.record(z.string(), z.unknown())).default([]),
});

/** What a run remembers of its past besides tensors. */
export interface RunHistory {
  step: number;
  tokens: number;
  bestLoss: number | null;
  bestStep: number | null;
  /** Entries as transformers logs them. */
  readonly log: Record<string, unknown>[];
}

export function newHistory(): RunHistory {
  return { step: 0, tokens: 0, bestLoss: null, bestStep: null, log: [] };
}

export function logStep(history: RunHistory, event: StepEvent): void {
  history.log.push({
    epoch: event.epoch,
    grad_norm: event.gradNorm,
    learning_rate: event.learningRate,
    loss: event.loss,
    step: event.step,
  });
}

export function logEvaluation(history: RunHistory, event: EvaluationEvent): void {
  const { epoch, loss, step, metrics = {} } = event;
  const named = Object.entries(metrics).map(([name, value]) => [`eval_${name}`, value]);
  // Times differ from run to run; what is kept here must not.
  history.log.push({ epoch, ...Object.fromEntries(named), eval_loss: loss, step });
}

export async function writeTrainerState(
  file: string,
  history: RunHistory,
  { options, length }: { options: TrainingOptions; length: RunLength },
): Promise<void> {
  const { bestStep } = history;
  const state = {
    best_global_step: bestStep,
    best_metric: history.bestLoss,
    best_model_checkpoint: bestStep === null ? null : `checkpoint-${bestStep}`,
    epoch: history.step / length.stepsPerEpoch,
    eval_steps: options.evalSteps ?? length.stepsPerEpoch,
    global_step: history.step,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: history.log,
    logging_steps: 1,
    max_steps: length.steps,
    num_input_tokens_seen: history.tokens,
    num_train_epochs: Math.ceil(length.epochs),
    save_steps: options.saveSteps ?? length.stepsPerEpoch,
    stateful_callbacks: {},
    total_flos: 0,
    train_batch_size: options.batchSize,
    trial_name: null,
    trial_params: null,
  };
  await writeAtomically(file, (handle) => handle.writeFile(`${JSON.stringify(state, null, 2)}\n`));
}

export async function readTrainerState(folder: string): Promise<RunHistory> {
  const file = path.join(folder, "trainer_state.json");
  const raw = parseJsonObject(await readText(file), file, { isPython: true });
  const state = parseFields(fields, raw, file);
  return {
    step: state.global_step,
    tokens: state.num_input_tokens_seen,
    bestLoss: state.best_metric ?? null,
    bestStep: state.best_global_step ?? null,
    log: state.log_history,
  };
}
