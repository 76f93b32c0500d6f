/**
 * How PEFT mixes the tensors of several adapters (utils/merge_utils.py): weighted sums, after pruning
 * by size or at random (DARE, https://arxiv.org/abs/2311.03099), with or without an election of signs
 * (TIES, https://arxiv.org/abs/2306.01708). Values are rounded to fp32 where torch rounds them.
 */
import type { TorchGenerator } from "../../base/torchRandom.ts";

export type MajoritySign = "total" | "frequency";

/** What is done to each tensor before they are added, and how they are added. */
export interface Mixing {
  readonly prune: "none" | "magnitude" | "random";
  /** Keeps, at each place, only the values that have the sign of the majority, and averages them. */
  readonly electsSign: boolean;
}

/** PEFT's combination types without "_svd". */
export const mixings = {
  linear: { prune: "none", electsSign: false },
  ties: { prune: "magnitude", electsSign: true },
  dare_linear: { prune: "random", electsSign: false },
  dare_ties: { prune: "random", electsSign: true },
  magnitude_prune: { prune: "magnitude", electsSign: false },
} as const satisfies Record<string, Mixing>;

export interface MixingOptions {
  /** Share of the values that pruning keeps; from 1 on nothing is pruned. */
  readonly density: number;
  readonly majoritySign: MajoritySign;
  readonly generator: TorchGenerator;
}

/** Mixes tensors of one shape; each has its weight. */
export function mix(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  { prune, electsSign, ...options }: Mixing & MixingOptions,
): Float32Array {
  const pruned = tensors.map((tensor) => pruneTensor(tensor, prune, options));
  const factors = Float32Array.from(weights);
  const kept = electsSign ? majority(pruned, options.majoritySign) : null;
  const out = new Float32Array(pruned[0]?.length ?? 0);
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    let count = 0;
    for (const [k, tensor] of pruned.entries()) {
      const value = tensor[i] as number;
      if (kept && Math.sign(value) !== kept[i]) continue;
      sum += Math.fround(value * (factors[k] as number));
      count += 1;
    }
    out[i] = kept ? sum / Math.max(count, 1) : sum;
  }
  return out;
}

function pruneTensor(
  tensor: Float32Array,
  how: Mixing["prune"],
  { density, generator }: MixingOptions,
): Float32Array {
  if (how === "none" || density >= 1) return tensor;
  if (how === "magnitude") return largest(tensor, Math.trunc(density * tensor.length));
  const share = Math.fround(density);
  const mask = generator.bernoulli(tensor.length, share);
  return tensor.map((value, i) => ((mask[i] as number) * value) / share);
}

/** Keeps the `count` values of largest magnitude; of equal ones the first. */
function largest(tensor: Float32Array, count: number): Float32Array {
  if (count === 0) return new Float32Array(tensor.length);
  const threshold = tensor.map(Math.abs).sort()[tensor.length - count] as number;
  let atThreshold = count;
  for (const value of tensor) if (Math.abs(value) > threshold) atThreshold -= 1;
  return tensor.map((value) => {
    const size = Math.abs(value);
    if (size > threshold) return value;
    return size === threshold && atThreshold-- > 0 ? value : 0;
  });
}

/** 1 or −1 at each place: the sign of the values' sum, or the one that more values have. */
function majority(tensors: readonly Float32Array[], method: MajoritySign): Int8Array {
  return Int8Array.from({ length: tensors[0]?.length ?? 0 }, (_, i) => {
    let sum = 0;
    for (const tensor of tensors) {
      const value = tensor[i] as number;
      sum += method === "total" ? value : Math.sign(value);
    }
    return sum >= 0 ? 1 : -1;
  });
}
