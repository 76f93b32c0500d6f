/** How many singular directions a converted module keeps. */
import { t } from "@vscode/l10n";
import { badRequest } from "../../base/errors.ts";

export type RankChoice =
  | { readonly kind: "rank"; readonly rank: number }
  /** The smallest rank whose singular values hold this share of their squares' sum. */
  | { readonly kind: "energy"; readonly energy: number }
  /** The rank that the update has. */
  | { readonly kind: "exact" };

/** Share of an update's norm that counts as nothing: less is rounding of fp32. */
export const negligible = 1e-6;

/** @throws bad-request when the choice is none */
export function checkChoice(choice: RankChoice): void {
  switch (choice.kind) {
    case "rank":
      if (Number.isInteger(choice.rank) && choice.rank > 0) return;
      throw badRequest(t("The rank is {0}, it must be a whole number of at least 1.", choice.rank));
    case "energy":
      if (choice.energy > 0 && choice.energy <= 1) return;
      throw badRequest(
        t("The energy to keep is {0}, it must be above 0 and at most 1.", choice.energy),
      );
    case "exact":
      return;
    default:
      return choice satisfies never;
  }
}

/**
 * How many of the largest singular values suffice, or null when more are needed to tell.
 * @param values largest first, perhaps not all
 * @param total sum of the squares of all of them
 */
export function enough(
  choice: Exclude<RankChoice, { kind: "rank" }>,
  values: ArrayLike<number>,
  total: number,
): number | null {
  if (total === 0) return 1;
  // PEFT (lora/conversion.py, _find_cutoff_index) squares and compares in fp32.
  const wanted =
    choice.kind === "exact"
      ? total * (1 - negligible ** 2)
      : Math.fround(Math.fround(choice.energy) * Math.fround(total));
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    sum += choice.kind === "exact" ? value * value : Math.fround(Math.fround(value) ** 2);
    if ((choice.kind === "exact" ? sum : Math.fround(sum)) >= wanted) return i + 1;
  }
  return null;
}
