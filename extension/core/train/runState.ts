/** A run's state as a checkpoint folder, and back. */
import { t } from "@vscode/l10n";
import * as path from "node:path";
import { isFile } from "../base/files.ts";
import type { ParameterValues } from "../peft/trainable/trainable.ts";
import { openSafetensors, readFloat32 } from "../safetensors/read.ts";
import { type TensorData, writeSafetensors } from "../safetensors/write.ts";
import { type AdapterFrame, writeAdapterFiles } from "./adapterFiles.ts";
import { type OwnState, writeCheckpoint } from "./checkpointFolder.ts";
import type { MadeOf } from "./madeOf.ts";
import { writeUnstored } from "./madeTensors.ts";
import {
  readOptimizer,
  readScheduleStep,
  writeOptimizer,
  writeSchedule,
} from "./optimizerFiles.ts";
import { parameterGroups, type TrainedTensor } from "./parameterGroups.ts";
import { positionAfter } from "./plan.ts";
import type { Trainer } from "./trainer.ts";
import { newHistory, readTrainerState, writeTrainerState } from "./trainerState.ts";
import type { TrainingModel } from "./trainingModel.ts";

const [optimizerName, scheduleName, stateName, memoryName] = [
  "optimizer.pt",
  "scheduler.pt",
  "trainer_state.json",
  "graft_memory.safetensors",
] as const;

/** Writes all that a run needs to go on, in the layout of transformers' Trainer with PEFT. */
export async function saveState(
  trainer: Trainer,
  folder: string,
  { madeOf, ...frame }: AdapterFrame & { madeOf: MadeOf },
): Promise<void> {
  const { model, options, length, history, factor, position, patience } = trainer;
  const { parameters, groups } = model;
  const own: OwnState = { position, seed: options.seed, patience, madeOf };
  await writeCheckpoint(folder, own, async (scratch) => {
    const at = (name: string): string => path.join(scratch, name);
    await writeAdapterFiles(scratch, model, frame);
    await writeUnstored(scratch, model.parts.adapter, parameters.values());
    await writeMemory(at(memoryName), model);
    const state = { memory: parameters.memory(), updates: parameters.updates };
    const { optimizer } = options;
    await writeOptimizer(at(optimizerName), state, { groups, optimizer, factor });
    const rates = groups.map(({ rate }) => rate);
    await writeSchedule(at(scheduleName), { rates, factor, last: history.step });
    await writeTrainerState(at(stateName), history, { options, length });
  });
}

/**
 * Puts a trainer where a checkpoint is, one of transformers' Trainer too.
 * @param own what Graft noted in it
 * @param values of all parameters, those that the checkpoint's adapter does not store among them
 * @returns sentences on what the checkpoint does not say
 */
export async function restoreState(
  trainer: Trainer,
  folder: string,
  { own, values }: { own: OwnState | null; values: ParameterValues },
): Promise<string[]> {
  const at = (name: string): string => path.join(folder, name);
  const notes: string[] = [];
  const hasState = await isFile(at(stateName));
  const history = hasState ? await readTrainerState(folder) : newHistory();
  if (!hasState && (await isFile(at(scheduleName)))) {
    history.step = await readScheduleStep(at(scheduleName));
  }
  let state = { memory: new Map(), updates: history.step } as Awaited<
    ReturnType<typeof readOptimizer>
  >;
  if (await isFile(at(optimizerName))) {
    state = await readOptimizer(at(optimizerName), orders(trainer));
    if (!hasState && history.step === 0) history.step = state.updates;
  } else notes.push(t("{0} has no optimizer.pt: the optimizer begins anew.", folder));
  // SGD does not count its steps.
  const updates = state.updates > 0 ? state.updates : history.step;
  const { model } = trainer;
  if (model.allocator && !(await isFile(at(memoryName)))) {
    notes.push(
      t("{0} does not say what the method remembers of its steps: that begins anew.", folder),
    );
  }
  model.parameters.restore(values, { memory: state.memory, updates });
  trainer.history = history;
  trainer.patience = own?.patience ?? 0;
  const { gradientAccumulation: accumulation, seed } = trainer.options;
  trainer.position = own?.position ?? positionAfter(history.step, trainer.length, accumulation);
  if (own && own.seed !== seed) {
    notes.push(
      t(
        "The checkpoint's seed is {0}, this run's is {1}: the texts come in another order.",
        own.seed,
        seed,
      ),
    );
  }
  return notes;
}

/** What a method remembers of the steps so far. */
async function writeMemory(file: string, { allocator, parameters }: TrainingModel): Promise<void> {
  const memory = allocator?.memory(parameters.values());
  if (!memory) return;
  const tensors = [...memory].map(([name, own]): TensorData => {
    const bytes = new Uint8Array(own.buffer, own.byteOffset, own.byteLength);
    return { name, dtype: "F32", shape: [own.length], bytes };
  });
  await writeSafetensors(file, tensors, { metadata: { format: "pt" } });
}

/** Gives the method back what a checkpoint says that it remembered. @returns values that the adapter's files lack */
export async function recall(
  { allocator }: TrainingModel,
  folder: string,
): Promise<ParameterValues> {
  const file = path.join(folder, memoryName);
  if (!allocator || !(await isFile(file))) return new Map();
  const { tensors } = await openSafetensors(file);
  return allocator.restore(await readFloat32(file, tensors));
}

/** Orders in which an optimizer's file may count tensors: this run's groups, all in one, transformers'. */
function orders({ model, options }: Trainer): TrainedTensor[][] {
  const trained = model.parts.adapter.parameters.filter(({ isTrained }) => isTrained);
  const usual = parameterGroups(trained, { rate: options.learningRate, weightDecay: 0 });
  const flat = (groups: typeof usual): TrainedTensor[] => groups.flatMap(({ tensors }) => tensors);
  return [flat([...model.groups]), trained, flat(usual)];
}
