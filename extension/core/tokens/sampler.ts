import { t } from "@vscode/l10n";
import { badRequest, GraftError, unsupported } from "../base/errors.ts";
import { freshSeed, seededRandom } from "../base/random.ts";
import type { TokenConstraint } from "./constraint.ts";
import { Draw } from "./draw.ts";

export interface Sampling {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Keep the likeliest tokens up to this probability; 1 is off. */
  readonly topP: number;
  /** Keep so many of the likeliest tokens; 0 is off. */
  readonly topK: number;
  /** Divides (positive) or multiplies (negative) the logits of tokens already seen; 1 is off. */
  readonly repetitionPenalty: number;
  /** null takes a fresh seed. */
  readonly seed: number | null;
  /** Texts that end the answer and are no part of it. */
  readonly stop?: readonly string[] | undefined;
  /** The answer is one JSON value that this schema allows; true is any. */
  readonly jsonSchema?: true | Readonly<Record<string, unknown>> | undefined;
}

export const greedy: Sampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  repetitionPenalty: 1,
  seed: 0,
};

/**
 * Chooses the next token from logits [vocab]; `seen` are the prompt's and the answer's tokens. What a
 * constraint does not allow has no probability.
 */
export interface Sampler {
  readonly seed: number;
  next(logits: Float32Array, seen: ReadonlySet<number>, allowed?: TokenConstraint | null): number;
}

/**
 * Order of the steps as in transformers: penalty, temperature, top-k, top-p, draw.
 * @param numbers one in [0, 1) for each token that is drawn, in place of the seed's
 */
export function createSampler(sampling: Sampling, numbers?: () => number): Sampler {
  checkSampling(sampling);
  const { temperature, repetitionPenalty } = sampling;
  const seed = sampling.seed ?? freshSeed();
  const random = numbers ?? seededRandom(seed);
  const draw = temperature === 0 ? null : new Draw(sampling);
  // What changes scores changes these: the logits are the caller's.
  let scratch = new Float32Array(0);
  const copied = (scores: Float32Array): Float32Array => {
    if (scores === scratch) return scores;
    if (scratch.length !== scores.length) scratch = new Float32Array(scores.length);
    scratch.set(scores);
    return scratch;
  };
  return {
    seed,
    next: (logits, seen, allowed) => {
      let scores = logits;
      if (repetitionPenalty !== 1) penalise((scores = copied(scores)), seen, repetitionPenalty);
      let best = argmax(scores);
      if (Number.isNaN(scores[best] ?? NaN)) throw notNumbers();
      if (allowed && (draw || !allowed.allows(best))) {
        best = keepAllowed((scores = copied(scores)), allowed.mask());
      }
      return draw ? draw.from(scores, best, random()) : best;
    },
  };
}

/** What a repetition penalty is on, a text's tokens and those to come; stays empty without one. */
export class SeenTokens {
  private readonly ids: Set<number>;
  private readonly isNeeded: boolean;

  constructor({ repetitionPenalty }: Pick<Sampling, "repetitionPenalty">, text: readonly number[]) {
    this.isNeeded = repetitionPenalty !== 1;
    this.ids = new Set(this.isNeeded ? text : []);
  }

  get all(): ReadonlySet<number> {
    return this.ids;
  }

  add(id: number): void {
    if (this.isNeeded) this.ids.add(id);
  }
}

function checkSampling({ temperature, topP, topK, repetitionPenalty }: Sampling): void {
  if (!(temperature >= 0))
    throw badRequest(t("Temperature is {0}; it must be 0 or more.", temperature));
  if (!(topP > 0 && topP <= 1))
    throw badRequest(t("Top-p is {0}; it must be above 0, at most 1.", topP));
  if (!(Number.isInteger(topK) && topK >= 0))
    throw badRequest(t("Top-k is {0}; it must be 0 or more.", topK));
  if (!(repetitionPenalty > 0)) {
    throw badRequest(t("Repetition penalty is {0}; it must be above 0.", repetitionPenalty));
  }
}

function notNumbers(): GraftError {
  return new GraftError(
    "bad-file",
    t(
      "The model's logits are not numbers: an active adapter or the base holds NaN or infinite values.",
    ),
  );
}

/** Takes what is not allowed out of the scores. @returns the best that is left @throws unsupported for none */
function keepAllowed(scores: Float32Array, mask: Uint8Array): number {
  for (let id = 0; id < scores.length; id++) if (mask[id] !== 1) scores[id] = -Infinity;
  const best = argmax(scores);
  if (scores[best] !== -Infinity) return best;
  throw unsupported(
    t("No token of this model can go on the JSON value as the schema has it"),
    t("Its vocabulary lacks a character that is needed: change the schema, or answer without it."),
  );
}

/** The place of the largest value; of equal ones the first. */
export function argmax(values: Float32Array): number {
  let best = 0;
  let most = values[0] as number;
  for (let i = 1; i < values.length; i++) {
    const value = values[i] as number;
    if (value > most) {
      best = i;
      most = value;
    }
  }
  return best;
}

function penalise(scores: Float32Array, seen: ReadonlySet<number>, penalty: number): void {
  for (const id of seen) {
    const score = scores[id];
    if (score !== undefined) scores[id] = score > 0 ? score / penalty : score * penalty;
  }
}
