import { torchGenerator } from "../../base/torchRandom.ts";

export interface OrderOptions {
  readonly epoch: number;
  readonly seed: number;
  readonly isShuffled: boolean;
  /** Null: lengths do not matter; otherwise rows of a step. */
  readonly stepRows: number | null;
}

/**
 * In which order rows are taken in an epoch: what transformers' Trainer takes with the same seed
 * (accelerate's SeedableRandomSampler: `torch.randperm` with seed + epoch), so that the same run in Python
 * sees the same texts in the same steps.
 */
export function epochOrder(lengths: Uint32Array, options: OrderOptions): Int32Array {
  const { epoch, seed, isShuffled, stepRows } = options;
  if (!isShuffled) return Int32Array.from(lengths.keys());
  const order = torchGenerator(seed + epoch).permutation(lengths.length);
  return stepRows === null ? order : groupByLength(order, lengths, stepRows);
}

/**
 * Like lengths together: parts of the order are sorted by length, the longest row of all comes first, so
 * that what does not fit into memory shows at once (transformers, `get_length_grouped_indices`).
 */
function groupByLength(order: Int32Array, lengths: Uint32Array, stepRows: number): Int32Array {
  const size = stepRows * Math.max(1, Math.min(Math.floor(lengths.length / (stepRows * 4)), 50));
  const length = (row: number): number => lengths[row] as number;
  const parts: number[][] = [];
  for (let start = 0; start < order.length; start += size) {
    parts.push([...order.subarray(start, start + size)].sort((a, b) => length(b) - length(a)));
  }
  const [first] = parts;
  let longest = first;
  for (const part of parts) {
    if (length(part[0] as number) > length(longest?.[0] as number)) longest = part;
  }
  if (first && longest) [first[0], longest[0]] = [longest[0] as number, first[0] as number];
  return Int32Array.from(parts.flat());
}
