import { t } from "@vscode/l10n";
import { GraftError } from "../base/errors.ts";
import type { DataPosition } from "./data/batch.ts";

interface Where {
  /** "The loss" */
  readonly what: string;
  readonly value: number;
  readonly step: number;
  readonly position: DataPosition;
  readonly learningRate: number;
}

/** A run that computes no numbers ends before they are saved. */
export function notFinite({ what, value, step, position, learningRate }: Where): GraftError {
  return new GraftError(
    "bad-request",
    t(
      "{0} is {1} at step {2}. Nothing of this step was kept. Continue from the last checkpoint with a lower learning rate (it was {3}) or a longer warm-up, or look at this step's texts.",
      what,
      String(value),
      step,
      learningRate,
    ),
    { reason: "not-finite", step, position },
  );
}
