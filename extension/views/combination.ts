import { t } from "@vscode/l10n";
import type { CombinationType } from "../protocol/writeContract.ts";

/** What a person decides when adapters are combined. Plain data and checks; the command asks. */

/** An adapter that can take part. */
export interface CombinationPart {
  path: string;
  name: string;
  peftType: string;
  method: string;
  rank: number | null;
}

export interface CombinationWay {
  type: CombinationType;
  meaning: string;
  needs: ("density" | "majoritySign" | "svdRank" | "seed")[];
}

const dropped = t("Drops values at random and scales up the rest");
const elected = t("keeps the sign that most of the weight agrees on");
const pruned = t("Keeps the largest values");
const onFactors = t("on the factors, rank unchanged");
const onUpdates = t("on whole updates, then cut to a rank");

/** PEFT's ways to combine LoRA, in the order in which they are offered. */
const ways: readonly CombinationWay[] = [
  { type: "cat", meaning: t("The exact sum of the updates; ranks add up"), needs: [] },
  { type: "svd", meaning: t("The sum of the updates, cut to a rank"), needs: ["svdRank"] },
  { type: "linear", meaning: t("Adds the factors: quick, but not the sum of updates"), needs: [] },
  {
    type: "ties",
    meaning: t("{0} and {1}, {2}", pruned, elected, onFactors),
    needs: ["density", "majoritySign"],
  },
  { type: "magnitude_prune", meaning: `${pruned}, ${onFactors}`, needs: ["density"] },
  { type: "dare_linear", meaning: `${dropped}, ${onFactors}`, needs: ["density", "seed"] },
  {
    type: "dare_ties",
    meaning: `${dropped}, ${elected}, ${onFactors}`,
    needs: ["density", "majoritySign", "seed"],
  },
  {
    type: "ties_svd",
    meaning: t("{0} and {1}, {2}", pruned, elected, onUpdates),
    needs: ["density", "majoritySign", "svdRank"],
  },
  {
    type: "magnitude_prune_svd",
    meaning: `${pruned}, ${onUpdates}`,
    needs: ["density", "svdRank"],
  },
  {
    type: "dare_linear_svd",
    meaning: `${dropped}, ${onUpdates}`,
    needs: ["density", "svdRank", "seed"],
  },
  {
    type: "dare_ties_svd",
    meaning: `${dropped}, ${elected}, ${onUpdates}`,
    needs: ["density", "majoritySign", "svdRank", "seed"],
  },
];

/** Methods that PEFT combines, as `peft_type` spells them. */
export const combinable: ReadonlySet<string> = new Set(["LORA", "IA3"]);

/** Why these cannot become one adapter; undefined when they can. */
export function combinationProblem(parts: readonly CombinationPart[]): string | undefined {
  const [first] = parts;
  if (!first) return t("Choose the adapters to combine.");
  const other = parts.find(({ peftType }) => peftType !== first.peftType);
  if (other) {
    return t(
      "{0} is {1} and {2} is {3}: only one method at a time can be combined.",
      first.name,
      first.method,
      other.name,
      other.method,
    );
  }
  if (combinable.has(first.peftType)) return undefined;
  return t(
    "{0} adapters cannot be combined into one. Make them active together instead: their updates add up.",
    first.method,
  );
}

/** The ways that fit; adapters of several ranks have fewer. IA³ and a single adapter have just one. */
export function combinationWays(parts: readonly CombinationPart[]): CombinationWay[] {
  const linear = ways.filter(({ type }) => type === "linear");
  if (parts.length < 2 || parts[0]?.peftType !== "LORA") return linear;
  const sameRank = new Set(parts.map(({ rank }) => rank)).size === 1;
  return ways.filter(({ type }) => sameRank || type === "cat" || type.endsWith("svd"));
}

/** What the new rank will be where a way leaves no choice. */
export function rankAfter(type: CombinationType, parts: readonly CombinationPart[]): number | null {
  const ranks = parts.map(({ rank }) => rank ?? 0);
  if (type === "cat") return ranks.reduce((sum, rank) => sum + rank, 0);
  return type.endsWith("svd") ? null : (parts[0]?.rank ?? null);
}

/** "1, -0.5" or "1 -0.5": one number an adapter, in their order. A sentence when it is not that. */
export function readWeights(text: string, count: number): number[] | string {
  const words = text.split(/[\s,;]+/).filter((word) => word !== "");
  const wrong = words.find((word) => !Number.isFinite(Number(word)));
  if (wrong !== undefined) return t('"{0}" is not a number.', wrong);
  if (words.length !== count) {
    const numbers = words.length === 1 ? t("1 number") : t("{0} numbers", words.length);
    return count === 1
      ? t("{0} for 1 adapter.", numbers)
      : t("{0} for {1} adapters.", numbers, count);
  }
  return words.map(Number);
}

/** A whole number of at least `least`, or a sentence. */
export function readWhole(text: string, least: number): number | string {
  const value = Number(text);
  const isWhole = text.trim() !== "" && Number.isSafeInteger(value) && value >= least;
  return isWhole ? value : t("A whole number of at least {0}.", least);
}

/** A share above 0 and up to 1, or a sentence. */
export function readShare(text: string): number | string {
  const value = Number(text);
  return text.trim() !== "" && value > 0 && value <= 1
    ? value
    : t("Above 0 and up to 1, such as 0.5.");
}

/** "pirate-json", in a form that a folder can have and with a number where that is taken. */
export function freeName(wanted: string, taken: readonly string[]): string {
  const plain = wanted.replace(/[\\/:*?"<>|\s]+/g, "-").replace(/^\.+/, "") || "adapter";
  let name = plain;
  for (let count = 2; taken.includes(name); count++) name = `${plain}-${count}`;
  return name;
}
