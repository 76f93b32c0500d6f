/** Cases whose truth is no truth for a file that is loaded; by the end of their name. */
const reasons: readonly [RegExp, reason: string][] = [
  [
    /\/lora_ga_raw$/,
    "is what PEFT had in memory: the base that it changed is not stored, so that a load is something else",
  ],
  [
    /\/pissa_niter_\d+_raw$/,
    "takes a randomised SVD out of the base, which PEFT itself does not repeat at load (4.0 apart)",
  ],
];

/** Why a case is left out; undefined for all others. */
export function leftOutReason(id: string): string | undefined {
  return reasons.find(([pattern]) => pattern.test(id))?.[1];
}
