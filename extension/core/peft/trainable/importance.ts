/** Running means of how much values matter, |w · ∂w|, as methods that allocate keep and remember them. */
import type { ParameterValues } from "./trainable.ts";

export interface Importance {
  readonly mean: Float32Array;
  readonly uncertainty: Float32Array;
}

/** What nothing is known of yet. */
export function blank(length: number): Importance {
  return { mean: new Float32Array(length), uncertainty: new Float32Array(length) };
}

/** By the names that PEFT gives them (tuners/adalora/layer.py, RankAllocator). */
export function importanceMemory(
  importance: ReadonlyMap<string, Importance>,
): Map<string, Float32Array> {
  const memory = new Map<string, Float32Array>();
  for (const [name, { mean, uncertainty }] of importance) {
    memory.set(`exp_avg_ipt.${name}`, mean);
    memory.set(`exp_avg_unc.${name}`, uncertainty);
  }
  return memory;
}

export function importanceIn(memory: ParameterValues): Map<string, Importance> {
  return new Map(
    under(memory, "exp_avg_ipt.").map(([name, mean]) => {
      const uncertainty = memory.get(`exp_avg_unc.${name}`) ?? new Float32Array(mean.length);
      return [name, { mean, uncertainty }];
    }),
  );
}

/** What a memory has under a prefix, by the names behind it. */
export function under(memory: ParameterValues, prefix: string): [string, Float32Array][] {
  return [...memory].flatMap(([name, own]) =>
    name.startsWith(prefix) ? [[name.slice(prefix.length), own]] : [],
  );
}
