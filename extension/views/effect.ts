import { t } from "@vscode/l10n";
import type { EffectResult } from "../protocol/engineContract.ts";

/** What an adapter does to answers, in a sentence; that it does nothing is said plainly. */
export function describeEffect(name: string, effect: EffectResult): string {
  const { probes, positions, largest, mean, changedTop, changedAnswers } = effect;
  if (effect.changesNothing) {
    return t(
      "{0} changes nothing: on {1} prompts every answer stays as the base gives it.",
      name,
      probes,
    );
  }
  const share = Math.round((100 * changedTop) / Math.max(1, positions));
  return t(
    "{0} changes the likeliest token at {1} of {2} places ({3} %) and the start of {4} of {5} answers. Logits move by {6} on average, by {7} at most.",
    name,
    changedTop,
    positions,
    share,
    changedAnswers,
    probes,
    mean.toPrecision(2),
    largest.toPrecision(2),
  );
}
