/** How long a run looks at the base's weights before its first step. */
import { t } from "@vscode/l10n";
import { seededRandom } from "../../core/base/random.ts";
import { decompositionCost, singularValues } from "../../core/base/svd.ts";
import type { TrainableAdapter } from "../../core/peft/trainable/trainable.ts";

/** Multiplications that nobody waits for. */
const few = 2e10;

/** A sentence where that takes more than a minute on this machine. */
export function beginningWarnings({
  beginningCost: cost = 0,
}: Pick<TrainableAdapter, "beginningCost">): string[] {
  if (cost < few) return [];
  const minutes = Math.round(cost / multiplicationsPerSecond() / 60);
  if (minutes < 1) return [];
  return [
    t(
      "Before its first step the run decomposes the base's weights: about {0} min on this machine. It says how far it is, and can be stopped meanwhile.",
      minutes,
    ),
  ];
}

/** Of a large decomposition, whose matrices no cache holds: about half of what a small one has. */
function multiplicationsPerSecond(): number {
  const size = 384;
  const random = seededRandom(1);
  const matrix = Float64Array.from({ length: size * size }, () => random() - 0.5);
  const started = performance.now();
  singularValues(matrix, size);
  return (0.5 * decompositionCost(size, size)) / ((performance.now() - started) / 1000);
}
