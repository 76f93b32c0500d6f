/** Learning rates over the steps of a run, as transformers' get_scheduler has them (optimization.py). */
import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";

export const scheduleTypes = [
  "linear",
  "cosine",
  "cosine_with_restarts",
  "polynomial",
  "constant",
  "constant_with_warmup",
] as const;

export type ScheduleType = (typeof scheduleTypes)[number];

/** Fields that are left out have transformers' defaults. */
export interface ScheduleOptions {
  readonly type?: ScheduleType;
  /** Steps in which the rate grows from 0. */
  readonly warmupSteps?: number;
  /** The same as a part of all steps, where no steps are given; rounded up. */
  readonly warmupRatio?: number;
  /** Waves of the cosine: half a wave, or one restart. */
  readonly cycles?: number;
  /** Of a polynomial. */
  readonly power?: number;
  /** Where a polynomial ends. */
  readonly endRate?: number;
}

/** The factor on the learning rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

/** @param rate the highest learning rate, which a polynomial needs to know */
export function scheduleOf(
  { type = "linear", ...options }: ScheduleOptions,
  { steps, rate }: { steps: number; rate: number },
): Schedule {
  const warmup = type === "constant" ? 0 : warmupSteps(options, steps);
  const rest = Math.max(1, steps - warmup);
  const after = decay(type, options, { rest, length: steps - warmup, rate });
  return (step) => (step < warmup ? step / Math.max(1, warmup) : after(step - warmup));
}

function warmupSteps(
  { warmupSteps: own = 0, warmupRatio = 0 }: ScheduleOptions,
  steps: number,
): number {
  return own > 0 ? own : Math.ceil(steps * warmupRatio);
}

/** The factor so many steps after the warm-up. */
function decay(
  type: ScheduleType,
  { cycles, power = 1, endRate = 1e-7 }: ScheduleOptions,
  { rest, length, rate }: { rest: number; length: number; rate: number },
): Schedule {
  switch (type) {
    case "constant":
    case "constant_with_warmup":
      return () => 1;
    case "linear":
      return (step) => Math.max(0, (length - step) / rest);
    case "cosine":
      return (step) =>
        Math.max(0, 0.5 * (1 + Math.cos(Math.PI * (cycles ?? 0.5) * 2 * (step / rest))));
    case "cosine_with_restarts":
      return (step) =>
        step >= rest
          ? 0
          : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((((cycles ?? 1) * step) / rest) % 1))));
    case "polynomial":
      if (!(rate > endRate)) {
        throw badRequest(
          t(
            "A polynomial ends at {0}, which has to be below the learning rate {1}.",
            endRate,
            rate,
          ),
        );
      }
      return (step) =>
        step > length
          ? endRate / rate
          : ((rate - endRate) * (1 - step / rest) ** power + endRate) / rate;
  }
}
