/** Numbers of an adapter in training: parameters, gradients and what the optimizer remembers of them. */
import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import { elementCount } from "../base/shape.ts";
import type { Parameter, ParameterValues } from "../peft/trainable/trainable.ts";
import { float32Tensor, type Tensor } from "../session/ortSession.ts";
import type { TrainingSession } from "../session/trainingSession.ts";
import type { ParameterGroup, TrainedTensor } from "./parameterGroups.ts";
import { factorsOf, type OptimizerOptions, stateNames } from "./updateGraph.ts";

interface GroupState {
  readonly group: ParameterGroup;
  parameters: Float32Array;
  /** By torch's names. */
  readonly memory: Map<string, Float32Array>;
  /** Sum over the batches of a step; null before the first. */
  gradients: Float32Array | null;
}

/** What an optimizer knows of one tensor, by torch's names ("exp_avg"). */
export type TensorMemory = ReadonlyMap<string, Float32Array>;

export class ParameterState {
  /** Updates so far. */
  updates = 0;
  private readonly groups: readonly GroupState[];
  private readonly frozen: Record<string, Tensor> = {};
  private readonly optimizer: OptimizerOptions;
  private views: Record<string, Tensor> | null = null;

  constructor(
    readonly parameters: readonly Parameter[],
    groups: readonly ParameterGroup[],
    { optimizer, values }: { optimizer: OptimizerOptions; values: ParameterValues },
  ) {
    this.optimizer = optimizer;
    this.groups = groups.map((group) => ({
      group,
      parameters: joined(group, (tensor) => valueOf(values, tensor)),
      memory: new Map(stateNames(optimizer).map((name) => [name, new Float32Array(group.size)])),
      gradients: null,
    }));
    for (const parameter of parameters.filter(({ isTrained }) => !isTrained)) {
      this.frozen[parameter.name] = float32Tensor(valueOf(values, parameter), parameter.shape);
    }
  }

  /** The step graph's inputs of all parameters, views on memory that an update replaces. */
  feeds(): Record<string, Tensor> {
    if (this.views) return this.views;
    const feeds = { ...this.frozen };
    for (const { group, parameters } of this.groups) {
      for (const [{ name, shape }, values] of slices(group, parameters)) {
        feeds[name] = float32Tensor(values, shape);
      }
    }
    this.views = feeds;
    return feeds;
  }

  /** Every parameter's values as they are now; views, not copies. */
  values(): Map<string, Float32Array> {
    const values = new Map(
      Object.entries(this.frozen).map(([name, { data }]) => [name, data as Float32Array]),
    );
    for (const { group, parameters } of this.groups) {
      for (const [{ name }, own] of slices(group, parameters)) values.set(name, own);
    }
    return values;
  }

  accumulate(gradients: readonly Float32Array[]): void {
    this.groups.forEach((state, i) => {
      const own = gradients[i] as Float32Array;
      const sum = state.gradients;
      if (sum === null) state.gradients = own;
      else for (let k = 0; k < sum.length; k++) sum[k] = (sum[k] as number) + (own[k] as number);
    });
  }

  /** Gradients summed so far, by tensor. */
  gradients(): Map<string, Float32Array> {
    return new Map(
      this.groups.flatMap(({ group, gradients }) =>
        slices(group, gradients ?? new Float32Array(group.size)).map(
          ([{ name }, own]): [string, Float32Array] => [name, own],
        ),
      ),
    );
  }

  dropGradients(): void {
    for (const state of this.groups) state.gradients = null;
  }

  /**
   * One update by the gradients summed so far; nothing is changed where their norm is no number.
   * @param at.factor the schedule's, on each group's rate
   * @returns the norm of all gradients before clipping
   */
  async update(
    session: TrainingSession,
    { factor, limit }: { factor: number; limit: number },
  ): Promise<number> {
    const step = this.updates + 1;
    const feeds: Record<string, Tensor> = { limit: float32Tensor(Float32Array.of(limit), [1]) };
    this.groups.forEach(({ group, parameters, memory, gradients }, i) => {
      const vector = (values: Float32Array): Tensor => float32Tensor(values, [group.size]);
      const { rate, weightDecay } = group;
      const factors = factorsOf(this.optimizer, { rate: rate * factor, weightDecay, step });
      feeds[`factors.${i}`] = float32Tensor(factors, [4]);
      feeds[`parameters.${i}`] = vector(parameters);
      feeds[`gradients.${i}`] = vector(gradients ?? new Float32Array(group.size));
      for (const [name, values] of memory) feeds[`${name}.${i}`] = vector(values);
    });
    const next = await session.update(feeds);
    const norm = (next.get("norm") as Float32Array)[0] as number;
    this.dropGradients();
    if (!Number.isFinite(norm)) return norm;
    this.groups.forEach((state, i) => {
      state.parameters = next.get(`next.parameters.${i}`) as Float32Array;
      for (const name of state.memory.keys()) {
        state.memory.set(name, next.get(`next.${name}.${i}`) as Float32Array);
      }
    });
    this.updates = step;
    this.views = null;
    return norm;
  }

  /** The first parameter with a value that is no number; null where all are. */
  notFinite(): string | null {
    for (const { group, parameters } of this.groups) {
      if (parameters.every(Number.isFinite)) continue;
      const found = slices(group, parameters).find(([, own]) => !own.every(Number.isFinite));
      return found?.[0].name ?? null;
    }
    return null;
  }

  /** What the optimizer remembers, by tensor. */
  memory(): Map<string, TensorMemory> {
    const all = new Map<string, TensorMemory>();
    for (const { group, memory } of this.groups) {
      const parts = [...memory].map(([name, values]) => [name, slices(group, values)] as const);
      group.tensors.forEach(({ name }, i) => {
        const own = parts.map(([key, each]): [string, Float32Array] => [
          key,
          (each[i] as [TrainedTensor, Float32Array])[1],
        ]);
        all.set(name, new Map(own));
      });
    }
    return all;
  }

  /** Takes over what a checkpoint says. @throws bad-request when it is of other tensors */
  restore(
    values: ParameterValues,
    { memory, updates }: { memory: ReadonlyMap<string, TensorMemory>; updates: number },
  ): void {
    for (const state of this.groups) {
      state.parameters = joined(state.group, (tensor) => valueOf(values, tensor));
      for (const key of state.memory.keys()) {
        const own = joined(state.group, (tensor) => {
          const known = memory.get(tensor.name)?.get(key);
          // An optimizer that has not met a tensor begins with zeros.
          return known ?? new Float32Array(elementCount(tensor.shape));
        });
        state.memory.set(key, own);
      }
    }
    this.updates = updates;
    this.views = null;
    this.dropGradients();
  }
}

/** A group's vector in the parts that its tensors are; views. */
function slices(
  { tensors }: ParameterGroup,
  vector: Float32Array,
): [TrainedTensor, Float32Array][] {
  let offset = 0;
  return tensors.map((tensor) => {
    const end = offset + elementCount(tensor.shape);
    const own = vector.subarray(offset, end);
    offset = end;
    return [tensor, own];
  });
}

function joined(group: ParameterGroup, of: (tensor: TrainedTensor) => Float32Array): Float32Array {
  const vector = new Float32Array(group.size);
  for (const [tensor, own] of slices(group, vector)) own.set(of(tensor));
  return vector;
}

function valueOf(
  values: ParameterValues,
  { name, shape }: Pick<Parameter, "name" | "shape">,
): Float32Array {
  const own = values.get(name);
  if (own?.length === elementCount(shape)) return own;
  throw badRequest(
    own
      ? t('"{0}" has {1} numbers, {2} are needed.', name, own.length, elementCount(shape))
      : t('There is no value for the parameter "{0}".', name),
  );
}
