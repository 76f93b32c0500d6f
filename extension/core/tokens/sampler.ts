import { t } from "@vscode/l10n";
import { badRequest, GraftError, unsupported } from "../base/errors.ts";
import { freshSeed, seededRandom } from "../base/random.ts";
import type { TokenConstraint } from "./constraint.ts";

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
  next(logits: Float32Array, seen: Iterable<number>, allowed?: TokenConstraint | null): number;
}

/** Order of the steps as in transformers: penalty, temperature, top-k, top-p, draw. */
export function createSampler(sampling: Sampling): Sampler {
  checkSampling(sampling);
  const seed = sampling.seed ?? freshSeed();
  const random = seededRandom(seed);
  return {
    seed,
    next: (logits, seen, allowed) => {
      const scores = penalise(logits, seen, sampling.repetitionPenalty);
      const best = argmax(scores);
      if (Number.isNaN(scores[best] ?? NaN)) throw notNumbers();
      if (sampling.temperature === 0 && (!allowed || allowed.allows(best))) return best;
      const left = allowed ? masked(scores, allowed.mask()) : scores;
      if (sampling.temperature === 0) return argmax(left);
      return draw(likeliest(left, sampling), random());
    },
  };
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

/** Scores of allowed tokens alone. @throws unsupported when there is none */
function masked(scores: Float32Array, mask: Uint8Array): Float32Array {
  const left = scores.map((score, id) => (mask[id] === 1 ? score : -Infinity));
  if (left[argmax(left)] !== -Infinity) return left;
  throw unsupported(
    t("No token of this model can go on the JSON value as the schema has it"),
    t("Its vocabulary lacks a character that is needed: change the schema, or answer without it."),
  );
}

export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if ((values[i] as number) > (values[best] as number)) best = i;
  }
  return best;
}

function penalise(logits: Float32Array, seen: Iterable<number>, penalty: number): Float32Array {
  if (penalty === 1) return logits;
  const scores = logits.slice();
  for (const id of new Set(seen)) {
    const score = scores[id];
    if (score !== undefined) scores[id] = score > 0 ? score / penalty : score * penalty;
  }
  return scores;
}

interface Candidate {
  readonly id: number;
  /** Relative to the likeliest token; not normalised. */
  readonly probability: number;
}

/** A token e^30 times less likely than the best is below fp32's resolution: never drawn. */
const negligible = 30;

/** The tokens that top-k and top-p leave, likeliest first. */
function likeliest(scores: Float32Array, { temperature, topK, topP }: Sampling): Candidate[] {
  const best = scores[argmax(scores)] as number;
  const weighed: Candidate[] = [];
  scores.forEach((score, id) => {
    const exponent = (score - best) / temperature;
    if (exponent > -negligible) weighed.push({ id, probability: Math.exp(exponent) });
  });
  weighed.sort((a, b) => b.probability - a.probability);
  const kept = topK > 0 ? weighed.slice(0, topK) : weighed;
  const total = sum(kept);
  let held = 0;
  const enough = kept.findIndex(({ probability }) => (held += probability) >= topP * total);
  return enough === -1 ? kept : kept.slice(0, enough + 1);
}

function sum(candidates: readonly Candidate[]): number {
  return candidates.reduce((total, { probability }) => total + probability, 0);
}

function draw(candidates: readonly Candidate[], uniform: number): number {
  let left = uniform * sum(candidates);
  for (const { id, probability } of candidates) {
    left -= probability;
    if (left < 0) return id;
  }
  return (candidates.at(-1) as Candidate).id;
}
