/** The best low-rank factors of an update, and what they lose. */
import { t } from "@vscode/l10n";
import { badRequest } from "../../base/errors.ts";
import { dot } from "../../base/matrix.ts";
import { type SingularPart, singularPart } from "../../base/singular.ts";
import { type Factors, padded, truncated } from "../combine/factors.ts";
import { enough, negligible, type RankChoice } from "./size.ts";

/** What is added to a weight [out, inputs]. */
export type Update =
  | { readonly kind: "factors"; readonly factors: Factors }
  | {
      readonly kind: "dense";
      /** [out, inputs] */
      readonly values: Float32Array;
      readonly inputs: number;
      readonly out: number;
    };

export interface Factorised {
  readonly factors: Factors;
  /** ‖update‖². */
  readonly total: number;
  /** ‖update − B A‖². */
  readonly lost: number;
}

/**
 * Cuts an update to a rank: B = U S, A = Vᵀ of its largest singular values. An update that has the
 * rank already keeps its factors; a rank above it is filled with zeros.
 * @param path the module, for messages
 */
export function factorise(update: Update, choice: RankChoice, path: string): Factorised {
  const { inputs, out } = update.kind === "factors" ? update.factors : update;
  const own = update.kind === "factors" ? update.factors.rank : 0;
  if (choice.kind === "rank" && choice.rank > Math.max(own, Math.min(inputs, out))) {
    throw badRequest(
      t(
        "The rank {0} is larger than a side of {1} ({2} × {3}). Choose a lower one.",
        choice.rank,
        path,
        out,
        inputs,
      ),
    );
  }
  return update.kind === "factors" ? cutFactors(update.factors, choice) : cutDense(update, choice);
}

function cutFactors(factors: Factors, choice: RankChoice): Factorised {
  const isKept = choice.kind === "rank" && choice.rank >= factors.rank;
  const whole = truncated(factors, factors.rank);
  const [left, right] = [Float64Array.from(whole.b), Float64Array.from(whole.a)];
  const squares = squaresOf({ left, right, rank: whole.rank });
  const total = sumOf(squares);
  if (isKept) return { factors: padded(factors, choice.rank), total, lost: 0 };
  const rank =
    choice.kind === "rank"
      ? choice.rank
      : (enough(choice, Array.from(squares, Math.sqrt), total) ?? whole.rank);
  // Not a direction less: the factors as they came are the more exact ones.
  if (choice.kind === "exact" && rank >= factors.rank) return { factors, total, lost: 0 };
  return { factors: firstOf(whole, rank), total, lost: sumOf(squares.subarray(rank)) };
}

function cutDense(
  { values, inputs: columns, out: rows }: Update & { kind: "dense" },
  choice: RankChoice,
): Factorised {
  const total = dot(values, values);
  const largest = Math.min(rows, columns);
  let count = choice.kind === "rank" ? choice.rank : Math.min(largest, firstCount);
  for (;;) {
    const part = singularPart(values, { rows, columns, count, end: "largest" });
    const squares = squaresOf(part);
    const rank =
      choice.kind === "rank" ? count : enough(choice, Array.from(squares, Math.sqrt), total);
    if (rank !== null || count === largest) {
      const kept = rank ?? largest;
      const left = kept === largest ? 0 : total - sumOf(squares.subarray(0, kept));
      // What is below is rounding of the two sums.
      const lost = left <= negligible ** 2 * total ? 0 : left;
      return { factors: firstOf(inFactors(part, squares), kept), total, lost };
    }
    count = Math.min(largest, 2 * count);
  }
}

/** Squares of the singular values of a part whose factors are orthogonal. */
function squaresOf({ left, right, rank }: SingularPart): Float64Array {
  const out = new Float64Array(rank);
  left.forEach((value, i) => (out[i % rank] = (out[i % rank] as number) + value ** 2));
  const columns = right.length / rank;
  return out.map((square, r) => {
    const row = right.subarray(r * columns, (r + 1) * columns);
    return square * dot(row, row);
  });
}

/** B = U S, A = Vᵀ. */
function inFactors({ left, right, rank }: SingularPart, squares: Float64Array): Factors {
  const [out, inputs] = [left.length / rank, right.length / rank];
  const lengths = squares.map((_, r) => {
    const row = right.subarray(r * inputs, (r + 1) * inputs);
    return Math.sqrt(dot(row, row)) || 1;
  });
  const lengthOf = (r: number): number => lengths[r] as number;
  const a = Float32Array.from(right, (value, i) => value / lengthOf(Math.floor(i / inputs)));
  const b = Float32Array.from(left, (value, i) => value * lengthOf(i % rank));
  return { a, b, rank, inputs, out };
}

/** Up to this size all directions are found at once anyway (base/singular.ts). */
const firstCount = 64;

function sumOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** The first directions alone; zeros where there are not so many. */
function firstOf(factors: Factors, rank: number): Factors {
  const { a, b, inputs, out } = factors;
  if (rank >= factors.rank) return padded(factors, rank);
  const first = new Float32Array(out * rank);
  for (let row = 0; row < out; row++) {
    const start = row * factors.rank;
    first.set(b.subarray(start, start + rank), row * rank);
  }
  return { a: a.slice(0, rank * inputs), b: first, rank, inputs, out };
}
