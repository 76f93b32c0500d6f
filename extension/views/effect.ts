import type { EffectResult } from "../protocol/engineContract.ts";

/** What an adapter does to answers, in a sentence; that it does nothing is said plainly. */
export function describeEffect(name: string, effect: EffectResult): string {
  const { probes, positions, largest, mean, changedTop, changedAnswers } = effect;
  if (effect.changesNothing) {
    return `${name} changes nothing: on ${probes} prompts every answer stays as the base gives it.`;
  }
  const share = Math.round((100 * changedTop) / Math.max(1, positions));
  return (
    `${name} changes the likeliest token at ${changedTop} of ${positions} places (${share} %) and ` +
    `the start of ${changedAnswers} of ${probes} answers. Logits move by ${mean.toPrecision(2)} on ` +
    `average, by ${largest.toPrecision(2)} at most.`
  );
}
