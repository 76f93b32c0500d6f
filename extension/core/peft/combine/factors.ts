/** Factors of LoRA: cut from sums of updates, joined, padded. */
import { dot, multiply, transposed } from "../../base/matrix.ts";
import { singularPart } from "../../base/singular.ts";
import { singularVectors } from "../../base/svd.ts";

/** B [out, rank] · A [rank, inputs]. */
export interface Factors {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
  readonly inputs: number;
  readonly out: number;
}

/** The update B A [out, inputs]. */
export function productOf({ a, b, rank, inputs, out }: Factors): Float32Array {
  return Float32Array.from(multiply(b, a, { rows: out, inner: rank, columns: inputs }));
}

/** All directions of several factors one after the other: B A is the sum. */
export function joined(parts: readonly [Factors, ...Factors[]]): Factors {
  const [{ inputs, out }] = parts;
  const rank = parts.reduce((sum, part) => sum + part.rank, 0);
  const a = new Float32Array(rank * inputs);
  const b = new Float32Array(out * rank);
  let from = 0;
  for (const part of parts) {
    a.set(part.a, from * inputs);
    for (let row = 0; row < out; row++) {
      b.set(part.b.subarray(row * part.rank, (row + 1) * part.rank), row * rank + from);
    }
    from += part.rank;
  }
  return { a, b, rank, inputs, out };
}

/** The same update with further directions of zeros. */
export function padded(factors: Factors, rank: number): Factors {
  const { inputs, out } = factors;
  const missing = rank - factors.rank;
  if (missing <= 0) return factors;
  const a = new Float32Array(missing * inputs);
  return joined([factors, { a, b: new Float32Array(out * missing), rank: missing, inputs, out }]);
}

/**
 * The best factors of a rank for an update given as factors: B = U S, A = Vᵀ of its largest singular
 * values. The update itself is never made: B = Q M, and M A is small.
 */
export function truncated(factors: Factors, rank: number): Factors {
  const { inputs, out } = factors;
  const count = Math.min(factors.rank, out);
  const own = singularVectors(factors.b, { rows: out, columns: factors.rank, count });
  const right = columnsOf(own.right, factors.rank, { scales: own.values });
  const small = multiply(transposed(right, factors.rank, count), factors.a, {
    rows: count,
    inner: factors.rank,
    columns: inputs,
  });
  const inner = leading(Float32Array.from(small), { rows: count, columns: inputs, rank });
  const left = columnsOf(own.left, out, {});
  const b = multiply(left, inner.b, { rows: out, inner: count, columns: inner.rank });
  return { ...inner, b: Float32Array.from(b), out };
}

/** The same for an update [rows, columns] that is not of low rank. */
export function leading(
  update: Float32Array,
  { rows, columns, rank }: { rows: number; columns: number; rank: number },
): Factors {
  const count = Math.min(rank, rows, columns);
  const part = singularPart(update, { rows, columns, count, end: "largest" });
  const { left, right } = part;
  for (let r = 0; r < part.rank; r++) {
    const own = right.subarray(r * columns, (r + 1) * columns);
    const length = Math.sqrt(dot(own, own)) || 1;
    for (let j = 0; j < columns; j++) {
      right[r * columns + j] = (right[r * columns + j] as number) / length;
    }
    for (let i = 0; i < rows; i++) {
      left[i * part.rank + r] = (left[i * part.rank + r] as number) * length;
    }
  }
  const [a, b] = [Float32Array.from(right), Float32Array.from(left)];
  return { a, b, rank: part.rank, inputs: columns, out: rows };
}

/**
 * The same, with both factors clamped to ± a quantile of all their values, which depends on the signs
 * of singular vectors: those of torch on a CPU. Cubic in the smaller side.
 */
export function clamped(
  update: Float32Array,
  at: { rows: number; columns: number; rank: number; quantile: number },
): Factors {
  const { rows, columns } = at;
  const count = Math.min(at.rank, rows, columns);
  const { values, left, right } = singularVectors(update, { rows, columns, count });
  const b = Float32Array.from(columnsOf(left, rows, { scales: values }));
  const a = new Float32Array(count * columns);
  right.forEach((vector, r) => a.set(vector, r * columns));
  const limit = quantile([b, a], at.quantile);
  const clamp = (value: number): number => Math.min(Math.max(value, -limit), limit);
  return { a: a.map(clamp), b: b.map(clamp), rank: count, inputs: columns, out: rows };
}

/** Vectors as the columns of [rows, vectors.length], each times its scale. */
function columnsOf(
  vectors: readonly Float64Array[],
  rows: number,
  { scales }: { scales?: Float64Array },
): Float64Array {
  const count = vectors.length;
  const out = new Float64Array(rows * count);
  vectors.forEach((vector, r) =>
    vector.forEach((value, row) => (out[row * count + r] = value * (scales?.[r] ?? 1))),
  );
  return out;
}

/** torch.quantile: between two neighbours in proportion. */
function quantile(parts: readonly Float32Array[], share: number): number {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let from = 0;
  for (const part of parts) {
    all.set(part, from);
    from += part.length;
  }
  all.sort();
  const place = share * (all.length - 1);
  const [low, high] = [all[Math.floor(place)] as number, all[Math.ceil(place)] as number];
  return low + (high - low) * (place - Math.floor(place));
}
