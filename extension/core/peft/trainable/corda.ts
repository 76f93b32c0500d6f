/**
 * CorDA (https://arxiv.org/abs/2406.05223; PEFT tuners/lora/corda.py, corda_init): W C = U S Vᵀ with C the
 * covariance of the layer's inputs, so that W = U S (Vᵀ C⁻¹). The adapter takes over the directions of
 * the largest singular values ("ipm", what the sample data use most) or of the smallest ("kpm").
 */
import { cholesky, solveCholesky } from "../../base/cholesky.ts";
import { multiply } from "../../base/matrix.ts";
import { singularPart } from "../../base/singular.ts";
import { singularVectors } from "../../base/svd.ts";

/** PEFT adds this share of the mean variance to C; more of it only where float32 cannot invert the sum. */
const damping = 0.01;

/** Up to here all directions are computed: the smallest are then as exact as the largest. */
const smallSize = 256;

export interface CordaRequest {
  readonly in: number;
  readonly out: number;
  readonly rank: number;
  readonly scaling: number;
  readonly method: "ipm" | "kpm";
}

/** A and B [rank, in], [out, rank]. @param weight [out, in] @param covariance [in, in] */
export function cordaFactors(
  weight: Float32Array,
  covariance: Float32Array,
  at: CordaRequest,
): { a: Float32Array; b: Float32Array } {
  const { in: columns, out: rows, rank, scaling } = at;
  const damped = dampedOf(covariance, columns);
  const product = multiply(weight, damped, { rows, inner: columns, columns });
  const inverse = inverseOf(damped, columns);
  const a = new Float32Array(rank * columns);
  const b = new Float32Array(rows * rank);
  directions(Float32Array.from(product), at).forEach(({ value, left, right }, r) => {
    const root = Math.sqrt(value / scaling);
    solveCholesky(inverse, right).forEach((x, i) => (a[r * columns + i] = root * x));
    left.forEach((x, i) => (b[i * rank + r] = root * x));
  });
  return { a, b };
}

const damped = new WeakMap<Float32Array, Float64Array>();
const inverses = new WeakMap<Float64Array, Float64Array>();

/** Layers on one input share what is made of its covariance. */
function dampedOf(covariance: Float32Array, size: number): Float64Array {
  const known = damped.get(covariance);
  if (known) return known;
  const own = Float64Array.from(covariance);
  let trace = 0;
  for (let i = 0; i < size; i++) trace += own[i * size + i] as number;
  // Inputs that are all 0 leave W C with no direction at all: any will do.
  const added = (trace === 0 ? size : trace / size) * damping;
  for (let i = 0; i < size; i++) own[i * size + i] = (own[i * size + i] as number) + added;
  damped.set(covariance, own);
  return own;
}

/** L of the matrix' decomposition. */
function inverseOf(matrix: Float64Array, size: number): Float64Array {
  const known = inverses.get(matrix);
  if (known) return known;
  const own = cholesky(matrix, size);
  if (!own) throw new Error("a damped covariance is positive definite");
  inverses.set(matrix, own);
  return own;
}

interface Direction {
  readonly value: number;
  readonly left: Float64Array;
  readonly right: Float64Array;
}

/** In the order of falling singular values, as PEFT has them. */
function directions(product: Float32Array, at: CordaRequest): Direction[] {
  const { in: columns, out: rows, rank, method } = at;
  const size = Math.min(rows, columns);
  if (size <= smallSize) {
    const { values, left, right } = singularVectors(product, { rows, columns, count: size });
    const all = Array.from(values, (value, i) => ({
      value,
      left: left[i] as Float64Array,
      right: right[i] as Float64Array,
    }));
    return method === "ipm" ? all.slice(0, rank) : all.slice(-rank);
  }
  const end = method === "ipm" ? "largest" : "smallest";
  const part = singularPart(product, { rows, columns, count: rank, end });
  const found = Array.from({ length: part.rank }, (_, r) => {
    const left = Float64Array.from(
      { length: rows },
      (_, i) => part.left[i * part.rank + r] as number,
    );
    const right = part.right.slice(r * columns, (r + 1) * columns);
    return { value: normalise(left) * normalise(right), left, right };
  });
  return found.sort((one, other) => other.value - one.value);
}

/** Makes a vector's length 1. @returns what it was */
function normalise(vector: Float64Array): number {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (length > 0)
    for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] as number) / length;
  return length;
}
