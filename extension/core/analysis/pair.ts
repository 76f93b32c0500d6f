/** Two updates of one weight beside each other; docs/analysis.md says what each number means. */
import { choleskyOfAnyRank } from "../base/cholesky.ts";
import { columnsAsRows, crossGram, gram, type Rows, rowsOf } from "../base/gram.ts";
import { dot, multiply, transposed } from "../base/matrix.ts";
import { seededRandom } from "../base/random.ts";
import { singularVectors } from "../base/svd.ts";
import { type Factors, leading, productOf } from "../peft/combine/factors.ts";
import type { Update } from "../peft/convert/factorise.ts";
import { wholeSizes } from "./spectrum.ts";

/** ⟨ΔA, ΔB⟩, Frobenius: of factors from Gram matrices, the updates are not made. */
export function innerProduct(a: Update, b: Update): number {
  if (a.kind === "factors" && b.kind === "factors") {
    return dot(
      crossGram(inputRows(a.factors), inputRows(b.factors)),
      crossGram(outputRows(a.factors), outputRows(b.factors)),
    );
  }
  return dot(denseOf(a), denseOf(b));
}

/** The update as a matrix [out, in]. */
export function denseOf(update: Update): Float32Array {
  return update.kind === "dense" ? update.values : productOf(update.factors);
}

export function sizeOf(update: Update): { inputs: number; out: number } {
  const { inputs, out } = update.kind === "factors" ? update.factors : update;
  return { inputs, out };
}

function inputRows({ a, rank, inputs }: Factors): Rows {
  return rowsOf(a, { rows: rank, columns: inputs });
}

function outputRows({ b, rank, out }: Factors): Rows {
  return columnsAsRows(b, { rows: out, columns: rank });
}

/** Singular vectors of an update, one a row, those of the largest values first. */
export interface Subspaces {
  readonly left: Rows;
  readonly right: Rows;
}

/** So many directions are compared. */
const mostDirections = 64;

/** Below this share of the largest singular value a direction is rounding. */
const faintest = 1e-6;

/** @returns null for zeros, and for a large update that is not of low rank */
export function subspacesOf(update: Update): Subspaces | null {
  if (update.kind === "factors") return factorSubspaces(update.factors);
  const { values, inputs, out } = update;
  if (Math.min(inputs, out) > wholeSizes.usual) return null;
  const rank = Math.min(inputs, out, mostDirections);
  const { a, b, rank: found } = leading(values, { rows: out, columns: inputs, rank });
  const left = columnsAsRows(b, { rows: out, columns: found });
  const sizes = Array.from({ length: found }, (_, r) => normalise(left, r));
  const count = significant(sizes);
  return count === 0 ? null : { left: first(left, count), right: first(inputsOf(a), count) };

  function inputsOf(rows: Float32Array): Rows {
    return rowsOf(rows, { rows: found, columns: inputs });
  }
}

/** U = B L_A v / σ and V = Aᵀ L_B u / σ, with L of the Gram matrices and u σ vᵀ of L_Bᵀ L_A. */
function factorSubspaces(factors: Factors): Subspaces | null {
  const { rank } = factors;
  const [inputs, outputs] = [inputRows(factors), outputRows(factors)];
  const [lA, lB] = [choleskyOfAnyRank(gram(inputs), rank), choleskyOfAnyRank(gram(outputs), rank)];
  const square = { rows: rank, inner: rank, columns: rank };
  const core = multiply(transposed(lB, rank, rank), lA, square);
  if (!core.every(Number.isFinite)) return null;
  const { values, left, right } = singularVectors(core, { rows: rank, columns: rank, count: rank });
  const count = Math.min(significant([...values]), mostDirections);
  if (count === 0) return null;
  const make = (rows: Rows, l: Float64Array, vectors: readonly Float64Array[]): Rows => {
    const out = new Float64Array(count * rows.length);
    for (let k = 0; k < count; k++) {
      const weights = multiply(l, vectors[k] as Float64Array, {
        rows: rank,
        inner: rank,
        columns: 1,
      });
      const mixed = multiply(weights, rows.values, { rows: 1, inner: rank, columns: rows.length });
      out.set(mixed, k * rows.length);
    }
    const made = { values: out, rows: count, length: rows.length };
    for (let k = 0; k < count; k++) normalise(made, k);
    return made;
  };
  return { left: make(outputs, lA, right), right: make(inputs, lB, left) };
}

/** How many of the values, largest first, are more than rounding. */
function significant(values: readonly number[]): number {
  const [largest = 0] = values;
  return largest > 0 ? values.filter((value) => value > faintest * largest).length : 0;
}

/** Makes a row a unit vector, and says how long it was. */
function normalise({ values, length }: Rows, row: number): number {
  const own = values.subarray(row * length, (row + 1) * length);
  const norm = Math.sqrt(dot(own, own));
  if (norm > 0) for (let i = 0; i < length; i++) own[i] = (own[i] as number) / norm;
  return norm;
}

function first({ values, length }: Rows, count: number): Rows {
  return { values: values.subarray(0, count * length), rows: count, length };
}

/** φ(k, k) = ‖U_kᵀ V_k‖² / k for k = 1, 2, … (Hu et al. 2021, LoRA, §7.2 and appendix G). */
export function overlapOf(a: Rows, b: Rows): number[] {
  const product = crossGram(a, b);
  const most = Math.min(a.rows, b.rows);
  let sum = 0;
  return Array.from({ length: most }, (_, k) => {
    for (let i = 0; i <= k; i++) {
      sum += (product[k * b.rows + i] as number) ** 2;
      if (i < k) sum += (product[i * b.rows + k] as number) ** 2;
    }
    return Math.min(1, sum / (k + 1));
  });
}

export interface SignConflicts {
  /** Share of entries whose signs differ, of those that neither has at zero. */
  readonly all: number | null;
  /** The same of entries that both keep when each is trimmed to `density`. */
  readonly trimmed: number | null;
  readonly sampled: number;
}

/** Entries of an update that are looked at. */
const samples = 4096;

/** What TIES keeps: its paper's 20 % (Yadav et al. 2023, §4.1). */
export const density = 0.2;

/** Signs of two updates on the same sampled entries. */
export function signConflicts(a: Update, b: Update): SignConflicts {
  const { inputs, out } = sizeOf(a);
  const random = seededRandom(1);
  const isWhole = inputs * out <= samples;
  const places = Array.from({ length: isWhole ? inputs * out : samples }, (_, i) =>
    isWhole ? i : Math.floor(random() * inputs * out),
  );
  const [x, y] = [entriesOf(a, places), entriesOf(b, places)];
  const [leastX, leastY] = [trimAt(x), trimAt(y)];
  return {
    all: share(x, y, () => true),
    trimmed: share(
      x,
      y,
      (i) => Math.abs(x[i] as number) >= leastX && Math.abs(y[i] as number) >= leastY,
    ),
    sampled: places.length,
  };
}

function entriesOf(update: Update, places: readonly number[]): Float64Array {
  if (update.kind === "dense") {
    return Float64Array.from(places, (place) => update.values[place] as number);
  }
  const { a, b, rank, inputs } = update.factors;
  return Float64Array.from(places, (place) => {
    const [row, column] = [Math.floor(place / inputs), place % inputs];
    let sum = 0;
    for (let r = 0; r < rank; r++) {
      sum += (b[row * rank + r] as number) * (a[r * inputs + column] as number);
    }
    return sum;
  });
}

/** The smallest size of what trimming keeps. */
function trimAt(values: Float64Array): number {
  const sizes = values.map(Math.abs).sort();
  return sizes[Math.floor((1 - density) * sizes.length)] ?? 0;
}

function share(x: Float64Array, y: Float64Array, isKept: (i: number) => boolean): number | null {
  let [both, opposite] = [0, 0];
  x.forEach((value, i) => {
    const other = y[i] as number;
    if (value === 0 || other === 0 || !isKept(i)) return;
    both++;
    if (value > 0 !== other > 0) opposite++;
  });
  return both === 0 ? null : opposite / both;
}
