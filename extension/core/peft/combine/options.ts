import { t } from "@vscode/l10n";
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
    throw badRequest(t('"{0}" is no combination type: {1}.', type, combinationTypes.join(", ")));
  }
  if (svdRank !== null && !(Number.isInteger(svdRank) && svdRank > 0)) {
    throw badRequest(t("svdRank is {0}, it must be a whole number of at least 1.", svdRank));
  }
  if (svdClamp !== null && !(svdClamp >= 0 && svdClamp <= 1)) {
    throw badRequest(t("svdClamp is {0}, it must be from 0 to 1.", svdClamp));
  }
  if (majoritySign !== "total" && majoritySign !== "frequency") {
    throw badRequest(t('majoritySignMethod is "{0}": total or frequency.', String(majoritySign)));
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
  if (density === undefined) throw badRequest(t("{0} needs a density, e.g. 0.5.", type));
  if (!(density >= 0)) throw badRequest(t("density is {0}, it must be at least 0.", density));
  if (density === 0 && type.startsWith("dare")) {
    throw badRequest(t("{0} divides by the density: it must be above 0.", type));
  }
  return density;
}

function seedOf({ seed = 0 }: CombineOptions): number {
  if (Number.isSafeInteger(seed)) return seed;
  throw badRequest(t("seed is {0}, it must be a whole number.", seed));
}
