/** Norm and singular values of an update; docs/analysis.md says what each number means. */
import { choleskyOfAnyRank } from "../base/cholesky.ts";
import { columnsAsRows, gram, rowsOf } from "../base/gram.ts";
import { dot, multiply, transposed } from "../base/matrix.ts";
import { singularPart } from "../base/singular.ts";
import { singularValues } from "../base/svd.ts";
import type { Factors } from "../peft/combine/factors.ts";
import type { Update } from "../peft/convert/factorise.ts";

export interface Spectrum {
  /** Largest first, at most `spectrumLength`. */
  values: number[];
  /** Cumulative share of ‖ΔW‖². */
  energy: number[];
  /** How many singular values there are. */
  count: number;
  /** Null where only the leading values are known. */
  effectiveRank: number | null;
  stableRank: number;
  isWhole: boolean;
}

/** So many values are handed on; a picture shows no more. */
const spectrumLength = 256;

/** Smaller sides up to which a dense update is decomposed whole: in passing, and when it is wished for. */
export const wholeSizes = { usual: 512, thorough: 1024 };

/** Leading values of a larger one, when its spectrum is wished for. */
const leadingCount = 32;

/** ‖ΔW‖, Frobenius. */
export function normOf(update: Update): number {
  if (update.kind === "dense") return Math.sqrt(dot(update.values, update.values));
  return productNorm(grams(update.factors));
}

/** √tr(Bᵀ B · A Aᵀ). */
function productNorm({ inA, inB }: Grams): number {
  return Math.sqrt(Math.max(0, dot(inA, inB)));
}

/** Norm and spectrum together, which share what takes longest. */
export function measure(
  update: Update,
  options: { thorough?: boolean },
): { norm: number; spectrum: Spectrum | null } {
  if (update.kind === "dense") {
    return { norm: normOf(update), spectrum: spectrumOf(update, options) };
  }
  const both = grams(update.factors);
  return { norm: productNorm(both), spectrum: fromValues(factorValues(update.factors, both)) };
}

/**
 * Singular values of an update. Of factors they are those of R_B R_Aᵀ, small matrices of the QR
 * decompositions of both (by Cholesky of their Gram matrices in fp64). A dense update is decomposed
 * whole by the Gram matrix of its smaller side, or by Lanczos' method.
 * @returns null for zeros, and for a large dense update unless it is to be thorough
 */
function spectrumOf(update: Update, { thorough = false } = {}): Spectrum | null {
  if (update.kind === "factors") {
    return fromValues(factorValues(update.factors, grams(update.factors)));
  }
  const { values, inputs, out } = update;
  const size = Math.min(inputs, out);
  if (size <= (thorough ? wholeSizes.thorough : wholeSizes.usual)) {
    return fromValues(denseValues(update));
  }
  if (!thorough) return null;
  const part = singularPart(values, {
    rows: out,
    columns: inputs,
    count: leadingCount,
    end: "largest",
  });
  return fromValues(partValues(part), { total: dot(values, values), count: size });
}

function factorValues({ rank, inputs, out }: Factors, { inA, inB }: Grams): Float64Array {
  const core = multiply(
    transposed(choleskyOfAnyRank(inB, rank), rank, rank),
    choleskyOfAnyRank(inA, rank),
    {
      rows: rank,
      inner: rank,
      columns: rank,
    },
  );
  return singularValues(core, rank).slice(0, Math.min(rank, inputs, out));
}

/** A Aᵀ and Bᵀ B [rank, rank]. */
interface Grams {
  readonly inA: Float64Array;
  readonly inB: Float64Array;
}

function grams({ a, b, rank, inputs, out }: Factors): Grams {
  return {
    inA: gram(rowsOf(a, { rows: rank, columns: inputs })),
    inB: gram(columnsAsRows(b, { rows: out, columns: rank })),
  };
}

function denseValues({ values, inputs, out }: Update & { kind: "dense" }): Float64Array {
  const sizes = { rows: out, columns: inputs };
  const rows = out <= inputs ? rowsOf(values, sizes) : columnsAsRows(values, sizes);
  return singularValues(gram(rows), rows.rows).map((square) => Math.sqrt(square));
}

/** Of a part whose left or right side is orthonormal, and the other orthogonal. */
function partValues({
  left,
  right,
  rank,
}: {
  left: Float64Array;
  right: Float64Array;
  rank: number;
}): Float64Array {
  const columns = right.length / rank;
  const squares = new Float64Array(rank);
  left.forEach((value, i) => (squares[i % rank] = (squares[i % rank] as number) + value ** 2));
  return squares.map((square, r) => {
    const row = right.subarray(r * columns, (r + 1) * columns);
    return Math.sqrt(square * dot(row, row));
  });
}

/** @param whole what is known of all values where these are the leading ones alone */
function fromValues(
  values: Float64Array,
  whole?: { total: number; count: number },
): Spectrum | null {
  const [largest = 0] = values;
  const total = whole?.total ?? dot(values, values);
  if (largest === 0 || !Number.isFinite(total)) return null;
  let sum = 0;
  const energy = Array.from(values, (value) => Math.min(1, (sum += value ** 2) / total));
  return {
    values: [...values.subarray(0, spectrumLength)],
    energy: energy.slice(0, spectrumLength),
    count: whole?.count ?? values.length,
    effectiveRank: whole ? null : effectiveRankOf(values),
    stableRank: total / largest ** 2,
    isWhole: whole === undefined && values.length <= spectrumLength,
  };
}

/** exp(−Σ p ln p) with p = σ / Σσ (Roy & Vetterli 2007, "The effective rank", eq. 3). */
function effectiveRankOf(values: Float64Array): number {
  const sum = values.reduce((total, value) => total + value, 0);
  const entropy = values.reduce((total, value) => {
    const p = value / sum;
    return p > 0 ? total - p * Math.log(p) : total;
  }, 0);
  return Math.exp(entropy);
}

/** Numbers of an update that are NaN or infinite: of its factors, where it has some. */
export function countNotFinite(update: Update): number {
  const parts = update.kind === "dense" ? [update.values] : [update.factors.a, update.factors.b];
  return parts.reduce((sum, part) => sum + notFinite(part), 0);
}

function notFinite(values: Float32Array): number {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) count++;
  return count;
}
