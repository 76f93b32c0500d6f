/**
 * AdaLoRA's reallocation of ranks (https://openreview.net/forum?id=lq62uWRJjiY; PEFT
 * tuners/adalora/layer.py, RankAllocator): after every step each number's importance |w · ∂w| and its
 * uncertainty are averaged; a direction counts as much as its E and the means over its rows of A and
 * B; the least ones' E become 0 until a budget is met, which falls with the cube of what is left.
 */
import { blank, type Importance, importanceIn, importanceMemory, under } from "./importance.ts";
import { peftPrefix } from "./parameters.ts";
import type { Allocator, Parameter, ParameterValues, SavedForm, SeenUpdate } from "./trainable.ts";

/** Steps count from 0, as PEFT's example of a training loop counts them. */
export interface RankSchedule {
  readonly tinit: number;
  readonly tfinal: number;
  readonly total: number;
  readonly deltaT: number;
  readonly beta1: number;
  readonly beta2: number;
  /** Mean rank of a module at the end. */
  readonly target: number;
}

export interface RankedModule {
  readonly path: string;
  readonly rank: number;
}

const suffixes = ["lora_A", "lora_B", "lora_E"] as const;

export function rankAllocator(
  modules: readonly RankedModule[],
  schedule: RankSchedule,
  parameters: readonly Parameter[],
): Allocator {
  return new RankAllocator(modules, schedule, parameters);
}

class RankAllocator implements Allocator {
  readonly fields = ["rank_pattern"];
  private importance = new Map<string, Importance>();
  /** Which directions of a module are left; null before the first allocation. */
  private kept: Map<string, boolean[]> | null = null;

  constructor(
    private readonly modules: readonly RankedModule[],
    private readonly schedule: RankSchedule,
    private readonly parameters: readonly Parameter[],
  ) {}

  afterUpdate({ step, values, gradients }: SeenUpdate): void {
    const { total, tfinal } = this.schedule;
    const last = total - tfinal;
    if (step > last) return this.mask(values);
    if (step < last) this.observe(values, gradients);
    const { budget, isDue } = this.budgetAt(step);
    if ((isDue || step === last) && this.importance.size > 0) {
      this.kept = this.chosen(budget);
      this.mask(values);
    }
    if (step === last) this.importance.clear();
  }

  saved(values: ParameterValues): SavedForm {
    const { kept, parameters } = this;
    if (kept === null) return { parameters, values, fields: {} };
    const cut = new Map(values);
    const shapes = new Map<string, readonly number[]>();
    for (const [path, left] of kept) {
      const rank = left.filter(Boolean).length;
      for (const suffix of suffixes) {
        const name = nameOf(path, suffix);
        const whole = values.get(name) as Float32Array;
        const width = suffix === "lora_B" ? left.length : whole.length / left.length;
        const isLeft = (i: number): boolean =>
          left[suffix === "lora_B" ? i % width : Math.floor(i / width)] === true;
        const own = whole.filter((_, i) => isLeft(i));
        cut.set(name, own);
        shapes.set(name, suffix === "lora_B" ? [whole.length / width, rank] : [rank, width]);
      }
    }
    const pattern = [...kept].map(([path, left]) => [`${path}.lora_E`, left] as const);
    return {
      parameters: parameters.map((each) => ({
        ...each,
        shape: shapes.get(each.name) ?? each.shape,
      })),
      values: cut,
      fields: { rank_pattern: Object.fromEntries(pattern) },
    };
  }

  memory(values: ParameterValues): ParameterValues {
    const memory = importanceMemory(this.importance);
    for (const [path, left] of this.kept ?? []) {
      memory.set(`kept.${path}`, Float32Array.from(left, Number));
      for (const suffix of suffixes) {
        const name = nameOf(path, suffix);
        memory.set(`whole.${name}`, values.get(name) as Float32Array);
      }
    }
    return memory;
  }

  restore(memory: ParameterValues): ParameterValues {
    this.importance = importanceIn(memory);
    const kept = under(memory, "kept.").map(([path, own]): [string, boolean[]] => [
      path,
      Array.from(own, (each) => each === 1),
    ]);
    this.kept = kept.length === 0 ? null : new Map(kept);
    return new Map(under(memory, "whole."));
  }

  private budgetAt(step: number): { budget: number; isDue: boolean } {
    const { tinit, tfinal, total, deltaT, target } = this.schedule;
    const whole = this.modules.reduce((sum, { rank }) => sum + rank, 0);
    const wanted = target * this.modules.length;
    if (step <= tinit) return { budget: whole, isDue: false };
    const left = 1 - (step - tinit) / (total - tfinal - tinit);
    const budget = Math.trunc((whole - wanted) * left ** 3 + wanted);
    return { budget, isDue: step % deltaT === 0 };
  }

  private observe(values: ParameterValues, gradients: ParameterValues): void {
    const { beta1, beta2 } = this.schedule;
    for (const { path } of this.modules) {
      for (const suffix of suffixes) {
        const name = nameOf(path, suffix);
        const [own, gradient] = [values.get(name), gradients.get(name)];
        if (!own || !gradient) continue;
        const { mean, uncertainty } = this.importance.get(name) ?? blank(own.length);
        this.importance.set(name, { mean, uncertainty });
        for (let i = 0; i < own.length; i++) {
          const seen = Math.abs((own[i] as number) * (gradient[i] as number));
          mean[i] = beta1 * (mean[i] as number) + (1 - beta1) * seen;
          const off = Math.abs(seen - (mean[i] as number));
          uncertainty[i] = beta2 * (uncertainty[i] as number) + (1 - beta2) * off;
        }
      }
    }
  }

  /** Directions that stay within a budget. */
  private chosen(budget: number): Map<string, boolean[]> {
    const scores = this.modules.map((module) => [module, this.scoresOf(module)] as const);
    const all = Float32Array.from(scores.flatMap(([, own]) => [...own])).sort();
    const gone = Math.min(all.length, all.length - budget);
    const limit = gone > 0 ? (all[gone - 1] as number) : -Infinity;
    return new Map(
      scores.map(([{ path }, own]) => [path, Array.from(own, (each) => each > limit)]),
    );
  }

  private scoresOf({ path, rank }: RankedModule): Float32Array {
    const scores = new Float64Array(rank);
    for (const suffix of suffixes) {
      const own = this.importance.get(nameOf(path, suffix));
      if (!own) continue;
      const { mean, uncertainty } = own;
      const width = mean.length / rank;
      for (let i = 0; i < mean.length; i++) {
        const direction = suffix === "lora_B" ? i % rank : Math.floor(i / width);
        const score = ((mean[i] as number) * (uncertainty[i] as number)) / width;
        scores[direction] = (scores[direction] as number) + score;
      }
    }
    return Float32Array.from(scores);
  }

  private mask(values: ParameterValues): void {
    for (const [path, left] of this.kept ?? []) {
      const own = values.get(nameOf(path, "lora_E")) as Float32Array;
      left.forEach((isLeft, i) => {
        if (!isLeft) own[i] = 0;
      });
    }
  }
}

function nameOf(path: string, suffix: string): string {
  return `${peftPrefix}${path}.${suffix}`;
}
