import { badRequest } from "../../base/errors.ts";
import type { MajoritySign } from "./merging.ts";

/** PEFT's combination types. */
export const combinationTypes = [
  "linear",
  "svd",
  "cat",
  "ties",
  "dare_linear",
  "dare_ties",
  "magnitude_prune",
  "ties_svd",
  "dare_linear_svd",
  "dare_ties_svd",
  "magnitude_prune_svd",
] as const;

export type CombinationType = (typeof combinationTypes)[number];

/** Options of PEFT's add_weighted_adapter. */
export interface CombineOptions {
  /** PEFT's default is "svd"; one adapter alone is always combined by "linear". */
  readonly combinationType?: CombinationType;
  /** Rank for the types with svd; the largest of the adapters' ranks when absent. */
  readonly svdRank?: number;
  /** Quantile from 0 to 1 of the factors' values beyond which they are clamped. */
  readonly svdClamp?: number;
  /** Without effect: full and reduced decompositions agree in the part that is kept. */
  readonly svdFullMatrices?: boolean;
  /** Without effect, as in PEFT on a CPU: it names a method of cuSOLVER. */
  readonly svdDriver?: "gesvd" | "gesvdj" | "gesvda" | null;
  /** Share of values to keep, for the types that prune. */
  readonly density?: number;
  /** How ties elect signs: by the sum of values, or by their number. */
  readonly majoritySignMethod?: MajoritySign;
  /** torch.manual_seed for the types with dare; 0 when absent. */
  readonly seed?: number;
  /** Told before each module. */
  readonly onProgress?: (progress: {
    step: string;
    done: number;
    total: number;
    unit: "items";
  }) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Checks the options that a type uses; the others are ignored, as in PEFT. */
export function readOptions(
  type: CombinationType,
  options: CombineOptions,
): {
  svdRank: number | null;
  svdClamp: number | null;
  density: number;
  majoritySign: MajoritySign;
  seed: number;
} {
  const { svdRank = null, svdClamp = null, majoritySignMethod: majoritySign = "total" } = options;
  if (!combinationTypes.includes(type)) {
    throw badRequest(`"${type}" is no combination type: ${combinationTypes.join(", ")}.`);
  }
  if (svdRank !== null && !(Number.isInteger(svdRank) && svdRank > 0)) {
    throw badRequest(`svdRank is ${svdRank}, it must be a whole number of at least 1.`);
  }
  if (svdClamp !== null && !(svdClamp >= 0 && svdClamp <= 1)) {
    throw badRequest(`svdClamp is ${svdClamp}, it must be from 0 to 1.`);
  }
  if (majoritySign !== "total" && majoritySign !== "frequency") {
    throw badRequest(`majoritySignMethod is "${String(majoritySign)}": total or frequency.`);
  }
  return {
    svdRank,
    svdClamp,
    density: readDensity(type, options),
    majoritySign,
    seed: seedOf(options),
  };
}

function readDensity(type: CombinationType, { density }: CombineOptions): number {
  if (!/ties|dare|prune/.test(type)) return 1;
  if (density === undefined) throw badRequest(`${type} needs a density, e.g. 0.5.`);
  if (!(density >= 0)) throw badRequest(`density is ${density}, it must be at least 0.`);
  if (density === 0 && type.startsWith("dare")) {
    throw badRequest(`${type} divides by the density: it must be above 0.`);
  }
  return density;
}

function seedOf({ seed = 0 }: CombineOptions): number {
  if (Number.isSafeInteger(seed)) return seed;
  throw badRequest(`seed is ${seed}, it must be a whole number.`);
}
