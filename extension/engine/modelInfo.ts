import { dtypeLabel } from "../core/base/dtype.ts";
import { methodLabel } from "../core/checkpoint/adapterConfig.ts";
import type { LoadedAdapter } from "../core/loadAdapter.ts";
import { neededMemory } from "../core/memoryCheck.ts";
import { headOf } from "../core/models/model.ts";
import { methods } from "../core/peft/index.ts";
import type { PeftModel } from "../core/peftModel.ts";
import { deviceLabels } from "../core/session/devices.ts";
import type { AdapterInfo, BaseModelInfo } from "../protocol/engineContract.ts";
import { describeCheckpoint } from "./discover.ts";
import { exportSummary } from "./exportSummary.ts";

/** A loaded base as it crosses to the host. */
export function baseInfo({ base }: PeftModel): BaseModelInfo {
  const { checkpoint, session, tokenizer, loadSeconds, precision, memory } = base;
  return {
    ...describeCheckpoint(checkpoint, "folder"),
    loadSeconds,
    deviceNote: base.device.note,
    precision: precision.label,
    lost: precision.error?.relative ?? null,
    memory: { estimate: neededMemory(memory.estimate), free: memory.free },
    contextLength: session.model.contextLength,
    layers: session.model.layers,
    device: deviceLabels[base.device.used],
    hasChatTemplate: tokenizer !== null && tokenizer.chatTemplate !== null,
    task: headOf(session.model).task,
    warnings: [...base.warnings],
    ...(base.export && { export: exportSummary(base.export) }),
  };
}

/** A loaded adapter as it crosses to the host. */
export function adapterInfo({
  name,
  checkpoint,
  report,
  weights,
  ...rest
}: LoadedAdapter): AdapterInfo {
  const { peftType } = checkpoint.config;
  const method = methods.find((known) => known.peftType === peftType);
  const { tasks, virtualTokens } = weights.effects;
  const taskCount = tasks?.length ?? virtualTokens?.tasks.length ?? 1;
  return {
    name,
    path: checkpoint.dir,
    peftType,
    tasks: taskCount > 1 ? taskCount : null,
    dtypes: [...new Set(checkpoint.weights.tensors.map(({ dtype }) => dtypeLabel(dtype)))],
    method: methodLabel(checkpoint.config),
    rank: method?.rank(checkpoint.config) ?? null,
    parameters: weights.parameters,
    bound: report.bound.length,
    total: report.total,
    attachSeconds: rest.attachSeconds,
    warnings: [...rest.warnings],
  };
}
