/**
 * AdaMSS's allocation of clusters (PEFT tuners/adamss/model.py, update_and_allocate): importance |w · ∂w|
 * and its uncertainty are averaged; every so many steps the clusters of all layers that matter least stop
 * learning, for good, until as many are left as a schedule says.
 */
import { blank, type Importance, importanceIn, importanceMemory, under } from "./importance.ts";
import type { Allocator, Parameter, ParameterValues, SavedForm, SeenUpdate } from "./trainable.ts";

/** Steps count from 0. */
export interface ClusterSchedule {
  readonly target: number;
  readonly from: number;
  readonly to: number;
  readonly interval: number;
  readonly exponent: number;
  readonly importanceBeta: number;
  readonly uncertaintyBeta: number;
}

/** @param clusters names of A and B of each cluster */
export function clusterAllocator(
  clusters: readonly (readonly [string, string])[],
  schedule: ClusterSchedule,
  parameters: readonly Parameter[],
): Allocator {
  return new ClusterAllocator(clusters, schedule, parameters);
}

class ClusterAllocator implements Allocator {
  readonly fields = [];
  private importance = new Map<string, Importance>();
  /** What no longer learns, as it is to stay. */
  private still = new Map<string, Float32Array>();

  constructor(
    private readonly clusters: readonly (readonly [string, string])[],
    private readonly schedule: ClusterSchedule,
    private readonly parameters: readonly Parameter[],
  ) {}

  beforeUpdate(gradients: ParameterValues): void {
    for (const name of this.still.keys()) gradients.get(name)?.fill(0);
  }

  afterUpdate({ step, values, gradients }: SeenUpdate): void {
    for (const [name, own] of this.still) values.get(name)?.set(own);
    const { from, to, interval } = this.schedule;
    if (step < from || step > to) return;
    this.observe(values, gradients);
    if (step % interval !== 0) return;
    this.hold(values, this.wanted(step));
    this.importance.clear();
  }

  saved(values: ParameterValues): SavedForm {
    return { parameters: this.parameters, values, fields: {} };
  }

  memory(): ParameterValues {
    const memory = importanceMemory(this.importance);
    for (const [name, own] of this.still) memory.set(`still.${name}`, own);
    return memory;
  }

  restore(memory: ParameterValues): ParameterValues {
    this.importance = importanceIn(memory);
    this.still = new Map(under(memory, "still."));
    return new Map();
  }

  private observe(values: ParameterValues, gradients: ParameterValues): void {
    const { importanceBeta, uncertaintyBeta } = this.schedule;
    for (const name of this.clusters.flat()) {
      const [own, gradient] = [values.get(name), gradients.get(name)];
      if (!own || !gradient || this.still.has(name)) continue;
      const { mean, uncertainty } = this.importance.get(name) ?? blank(own.length);
      this.importance.set(name, { mean, uncertainty });
      for (let i = 0; i < own.length; i++) {
        const seen = Math.abs((own[i] as number) * (gradient[i] as number));
        const [before, doubt] = [mean[i] as number, uncertainty[i] as number];
        uncertainty[i] = uncertaintyBeta * doubt + (1 - uncertaintyBeta) * Math.abs(seen - before);
        mean[i] = importanceBeta * before + (1 - importanceBeta) * seen;
      }
    }
  }

  /** How many clusters are left at a step. */
  private wanted(step: number): number {
    const { from, to, target, exponent } = this.schedule;
    const left = Math.min(1, Math.max(0, 1 - (step - from) / (to - from)));
    return Math.trunc(target + (this.clusters.length - target) * left ** exponent);
  }

  /** Clusters that matter more than the `wanted`th stay; that one itself, as PEFT counts, does not. */
  private hold(values: ParameterValues, wanted: number): void {
    const scored = this.clusters.flatMap(([a, b]) => {
      const [ofA, ofB] = [this.importance.get(a), this.importance.get(b)];
      return ofA && ofB ? [{ names: [a, b], score: scoreOf(ofA) + scoreOf(ofB) }] : [];
    });
    if (wanted >= scored.length) return;
    const order = scored.map(({ score }) => score).sort((one, other) => other - one);
    const least = order[Math.max(0, wanted - 1)] ?? -Infinity;
    for (const { names, score } of scored) {
      if (score > least) continue;
      for (const name of names) this.still.set(name, (values.get(name) as Float32Array).slice());
    }
  }
}

function scoreOf({ mean, uncertainty }: Importance): number {
  const sum = mean.reduce((all, each, i) => all + each * (uncertainty[i] as number), 0);
  return sum / mean.length;
}
