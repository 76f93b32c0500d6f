import { multiply, transposed } from "../../base/matrix.ts";
import { householderBasis } from "../../base/householder.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";

/**
 * Factors whose product begins small and whose rows do not overlap (PEFT lora/layer.py,
 * orthogonal_init): A from the even rows of a random rotation [r, r], B from the odd ones.
 * @returns null for an odd rank
 */
export function orthogonalFactors(
  random: TorchGenerator,
  { in: inputs, out, rank }: { in: number; out: number; rank: number },
): { a: Float32Array; b: Float32Array } | null {
  if (rank % 2 !== 0) return null;
  const half = rank / 2;
  const q = householderBasis(random.normal(rank * rank), rank, rank);
  const rows = (first: number): Float64Array =>
    Float64Array.from({ length: half * rank }, (_, i) => {
      const row = 2 * Math.floor(i / rank) + first;
      return q[row * rank + (i % rank)] as number;
    });
  const left = random.normal(inputs * half);
  const right = random.normal(half * out);
  const size = { inner: half, columns: rank };
  const a = multiply(left, rows(0), { rows: inputs, ...size });
  const b = multiply(transposed(right, half, out), rows(1), { rows: out, ...size });
  const tenth = (values: Float64Array): Float32Array => Float32Array.from(values, (x) => x / 10);
  return { a: tenth(transposed(a, inputs, rank)), b: tenth(b) };
}
