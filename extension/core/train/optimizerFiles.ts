/** An optimizer's and a schedule's state as transformers' Trainer saves them: optimizer.pt, scheduler.pt. */
import { t } from "@vscode/l10n";
import { badFile } from "../base/errors.ts";
import { elementCount } from "../base/shape.ts";
import { readTorchValue, TorchTensor } from "../checkpoint/torchFile.ts";
import { TorchTuple, type TorchValue, writeTorchValue } from "../checkpoint/writeTorchFile.ts";
import type { TensorData } from "../safetensors/write.ts";
import type { ParameterGroup, TrainedTensor } from "./parameterGroups.ts";
import type { TensorMemory } from "./parameterState.ts";
import { defaultBetas, defaultEpsilon, type OptimizerOptions } from "./updateGraph.ts";

export interface OptimizerState {
  readonly memory: ReadonlyMap<string, TensorMemory>;
  readonly updates: number;
}

/** torch's optimizer.state_dict(): tensors are counted through all groups. */
export async function writeOptimizer(
  file: string,
  { memory, updates }: OptimizerState,
  at: { groups: readonly ParameterGroup[]; optimizer: OptimizerOptions; factor: number },
): Promise<void> {
  const tensors = at.groups.flatMap((group) => group.tensors);
  const state = new Map<bigint, TorchValue>();
  tensors.forEach((tensor, i) => {
    const own = [...(memory.get(tensor.name) ?? [])].map(([key, values]): [string, TorchValue] => [
      key,
      tensorData(key, values, tensor.shape),
    ]);
    if (own.length === 0 || updates === 0) return;
    const step = tensorData("step", Float32Array.of(updates), []);
    const isAdam = at.optimizer.kind === "adamw";
    state.set(BigInt(i), new Map([...(isAdam ? [["step", step] as const] : []), ...own]));
  });
  let first = 0;
  const groups = at.groups.map((group) => {
    const ids = group.tensors.map((_, i) => BigInt(first + i));
    first += ids.length;
    return groupState(group, { ids, optimizer: at.optimizer, factor: at.factor });
  });
  const value = new Map<string, TorchValue>([
    ["state", state],
    ["param_groups", groups],
  ]);
  await writeTorchValue(file, value);
}

function groupState(
  { rate, weightDecay }: ParameterGroup,
  at: { ids: readonly bigint[]; optimizer: OptimizerOptions; factor: number },
): TorchValue {
  const { optimizer } = at;
  const common: [string, TorchValue][] = [
    ["maximize", false],
    ["foreach", null],
    ["differentiable", false],
    ["fused", null],
    ["initial_lr", rate],
    ["params", at.ids],
  ];
  const lr: [string, TorchValue][] = [["lr", rate * at.factor]];
  if (optimizer.kind === "sgd") {
    return new Map([
      ...lr,
      ["momentum", optimizer.momentum ?? 0],
      ["dampening", optimizer.dampening ?? 0],
      ["weight_decay", weightDecay],
      ["nesterov", optimizer.nesterov ?? false],
      ...common,
    ]);
  }
  return new Map([
    ...lr,
    ["betas", new TorchTuple([...(optimizer.betas ?? defaultBetas)])],
    ["eps", optimizer.epsilon ?? defaultEpsilon],
    ["weight_decay", weightDecay],
    ["amsgrad", false],
    ["capturable", false],
    ["decoupled_weight_decay", true],
    ...common,
  ]);
}

function tensorData(name: string, values: Float32Array, shape: readonly number[]): TensorData {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name, dtype: "F32", shape, bytes };
}

/** torch's LambdaLR.state_dict(). @param last steps so far */
export async function writeSchedule(
  file: string,
  { rates, factor, last }: { rates: readonly number[]; factor: number; last: number },
): Promise<void> {
  const value = new Map<string, TorchValue>([
    ["base_lrs", rates],
    ["last_epoch", BigInt(last)],
    ["_step_count", BigInt(last + 1)],
    ["_is_initial", false],
    ["_get_lr_called_within_step", false],
    ["_last_lr", rates.map((rate) => rate * factor)],
    ["lr_lambdas", rates.map(() => new Map<string, TorchValue>())],
  ]);
  await writeTorchValue(file, value);
}

/** Steps that a saved schedule has gone. */
export async function readScheduleStep(file: string): Promise<number> {
  const value = await readTorchValue(file);
  const last = value instanceof Map ? (value.get("last_epoch") as unknown) : undefined;
  if (typeof last === "number" && last >= 0) return last;
  throw badFile(file, t("holds no schedule of torch"));
}

/**
 * @param orders tensors in the orders in which the file may count them: its own groups may be others
 * @throws bad-file when it fits none of them
 */
export async function readOptimizer(
  file: string,
  orders: readonly (readonly TrainedTensor[])[],
): Promise<OptimizerState> {
  const value = await readTorchValue(file);
  const state = value instanceof Map ? (value.get("state") as unknown) : undefined;
  if (!(state instanceof Map)) throw badFile(file, t("holds no optimizer of torch"));
  const entries = [...state].map(([key, own]) => [Number(key), own as unknown] as const);
  const fits = (order: readonly TrainedTensor[]): boolean =>
    entries.every(([i, own]) => isOf(own, order[i]));
  const order = orders.find(fits);
  if (!order) {
    throw badFile(
      file,
      t("is of other tensors than this adapter's"),
      t("Continue without it: begin a new run with this adapter."),
    );
  }
  let updates = 0;
  const memory = new Map<string, TensorMemory>();
  for (const [i, own] of entries) {
    const parts = own as Map<string, unknown>;
    updates = Math.max(updates, stepOf(parts.get("step")));
    const tensors = [...parts].filter(
      (pair): pair is [string, TorchTensor] => pair[0] !== "step" && pair[1] instanceof TorchTensor,
    );
    memory.set(
      (order[i] as TrainedTensor).name,
      new Map(tensors.map(([key, { data }]) => [key, data])),
    );
  }
  return { memory, updates };
}

function stepOf(value: unknown): number {
  if (value instanceof TorchTensor) return value.data[0] ?? 0;
  return typeof value === "number" ? value : 0;
}

function isOf(own: unknown, tensor: TrainedTensor | undefined): boolean {
  if (!(own instanceof Map) || !tensor) return false;
  const parts = [...(own as Map<string, unknown>)].filter(([key]) => key !== "step");
  return parts.every(
    ([, each]) => !(each instanceof TorchTensor) || each.data.length === elementCount(tensor.shape),
  );
}
