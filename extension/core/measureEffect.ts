import { t } from "@vscode/l10n";
import { badRequest, throwIfAborted } from "./base/errors.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseInputs } from "./baseSession.ts";
import type { PeftModel } from "./peftModel.ts";
import type { Prompt } from "./answer.ts";
import type { ActiveAdapter } from "./loadedAdapters.ts";
import { argmax } from "./tokens/sampler.ts";

export interface MeasureOptions {
  /** The adapters to measure; the active ones when absent. */
  readonly adapters?: readonly ActiveAdapter[];
  /** Prompts, or token ids where a base has no tokenizer; a few of everyday kinds when absent. */
  readonly probes?: readonly (Prompt | readonly number[])[];
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** How far adapters move what the base says, over every position of the probes. */
export interface EffectReport {
  readonly probes: number;
  /** Positions that were compared: tokens of all probes. */
  readonly positions: number;
  /** Largest and mean absolute change of a logit. */
  readonly largest: number;
  readonly mean: number;
  /** Kullback-Leibler divergence of the next token's distribution from the base's, in nats. */
  readonly divergence: { readonly mean: number; readonly largest: number };
  /** Positions where another token has become the likeliest. */
  readonly changedTop: number;
  /** Probes whose next token, the first of an answer, is another one. */
  readonly changedAnswers: number;
  /** No logit moved by more than rounding does. */
  readonly changesNothing: boolean;
}

/** Sentences of everyday kinds; what they say does not matter, only that adapters are asked. */
const sentences = [
  "Hello! How are you today?",
  "Write a short story about a dog and a red ball.",
  "The capital of France is",
  "def add(a, b):",
  "Summarize: The shop was clean, the staff was friendly, but the food came late.",
];

/** fp32 rounding of a forward pass, relative to the largest logit. */
const noise = 1e-6;

/** Compares logits of the base with those under adapters. */
export async function measureEffect(
  model: PeftModel,
  { adapters = model.activeAdapters, probes, onProgress, signal }: MeasureOptions,
): Promise<EffectReport> {
  const prompts = idsOf(model, adapters, probes);
  const [base, adapted] = [model.inputsOf([]), model.inputsOf(adapters)];
  const tally = new Tally();
  for (const [done, ids] of prompts.entries()) {
    throwIfAborted(signal);
    onProgress?.({ step: t("Measuring the effect"), done, total: prompts.length, unit: "items" });
    const before = await logitsOf(model, base, ids);
    throwIfAborted(signal);
    tally.add(before, await logitsOf(model, adapted, ids));
  }
  return tally.report(prompts.length);
}

function idsOf(
  model: PeftModel,
  adapters: readonly ActiveAdapter[],
  probes: MeasureOptions["probes"],
): (readonly number[])[] {
  const given = probes ?? sentences.map((text): Prompt => ({ kind: "text", text }));
  if (given.length === 0) throw badRequest(t("There is no probe to measure with."));
  return given.map((probe) => {
    const ids = "kind" in probe ? model.encode(probe, adapters) : probe;
    const room = model.base.session.model.contextLength;
    if (ids.length === 0 || ids.length > room) {
      throw badRequest(t("A probe has {0} tokens; it must have 1 to {1}.", ids.length, room));
    }
    return ids;
  });
}

/** Per token the logits of the next one. */
async function logitsOf(
  { base: { session } }: PeftModel,
  inputs: BaseInputs,
  ids: readonly number[],
): Promise<Float32Array[]> {
  const { data, shape } = await session.with(inputs, (running) =>
    // Where an encoder reads a probe, the decoder is asked for it word for word.
    running.readsApart
      ? running.predict({ kind: "tokens", ids: [ids] }, inputs)
      : running.forward(running.start(inputs, 1, [ids]), [ids], {
          logitsRows: ids.map((_, place) => place),
        }),
  );
  const [, , vocabulary] = shape;
  return ids.map((_, place) => data.subarray(place * vocabulary, (place + 1) * vocabulary));
}

/** Sums over all compared positions. */
class Tally {
  private positions = 0;
  private logits = 0;
  private sum = 0;
  private largest = 0;
  private scale = 0;
  private divergences = 0;
  private largestDivergence = 0;
  private changedTop = 0;
  private changedAnswers = 0;

  /** Takes one probe; an adapter's own tokens, which the base has not, are left out. */
  add(before: readonly Float32Array[], after: readonly Float32Array[]): void {
    before.forEach((base, place) => {
      const adapted = (after[place] as Float32Array).subarray(0, base.length);
      this.addLogits(base.subarray(0, adapted.length), adapted);
      const isChanged = argmax(base) !== argmax(after[place] as Float32Array);
      if (isChanged) this.changedTop++;
      if (isChanged && place === before.length - 1) this.changedAnswers++;
    });
  }

  private addLogits(base: Float32Array, adapted: Float32Array): void {
    base.forEach((value, i) => {
      const change = Math.abs((adapted[i] as number) - value);
      this.sum += change;
      // A change that is no number is one.
      if (!(change <= this.largest)) this.largest = Number.isNaN(change) ? Infinity : change;
      this.scale = Math.max(this.scale, Math.abs(value));
    });
    const divergence = divergenceOf(base, adapted);
    this.divergences += divergence;
    this.largestDivergence = Math.max(this.largestDivergence, divergence);
    this.positions++;
    this.logits += base.length;
  }

  report(probes: number): EffectReport {
    const { positions, largest, changedTop, changedAnswers } = this;
    return {
      probes,
      positions,
      largest,
      mean: this.sum / this.logits,
      divergence: { mean: this.divergences / positions, largest: this.largestDivergence },
      changedTop,
      changedAnswers,
      changesNothing: largest <= noise * Math.max(1, this.scale),
    };
  }
}

/** Σ p log(p / q) of the softmax p of the adapted logits against the base's q. */
function divergenceOf(base: Float32Array, adapted: Float32Array): number {
  const [q, p] = [logSoftmax(base), logSoftmax(adapted)];
  let sum = 0;
  p.forEach((value, i) => (sum += Math.exp(value) * (value - (q[i] as number))));
  return Math.max(0, sum);
}

function logSoftmax(logits: Float32Array): Float64Array {
  const largest = logits[argmax(logits)] as number;
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - largest);
  const shift = largest + Math.log(sum);
  return Float64Array.from(logits, (value) => value - shift);
}
