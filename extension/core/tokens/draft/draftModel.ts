import { throwIfAborted } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import type { Model } from "../../models/model.ts";
import type { AdapterInputs } from "../../session/adapterInputs.ts";
import type { DecodingState } from "../../session/decodingState.ts";
import type { DecodingSession } from "../../session/decodingSession.ts";
import { commonLength, keptStates } from "../../session/keptStates.ts";
import { rewind } from "../../session/rewind.ts";
import type { TokenConstraint } from "../constraint.ts";
import { readInParts } from "../promptParts.ts";
import { createSampler, type Sampler, type Sampling, SeenTokens } from "../sampler.ts";
import { Acceptance, type DraftSource, type Offer } from "./source.ts";
import { costsOf } from "./stepCosts.ts";

/** A smaller model of the same tokens, as it runs. */
export interface DraftModel {
  readonly session: DecodingSession;
  readonly adapters: AdapterInputs;
}

/** A draft model that is behind by more is not tried only to see whether it is worth it by now. */
const mostBehind = 64;
/** Tokens that are read in passes of their own, and count for the answer and not for one draft. */
const catchUp = 8;

/** What of an answer the draft model is told. */
export interface Drafted {
  readonly prompt: readonly number[];
  readonly sampling: Sampling;
  /** Of the answer's sampler. */
  readonly seed: number;
  readonly constraint: TokenConstraint | null;
  readonly signal: AbortSignal | undefined;
  /** The session that judges the drafts. */
  readonly judge: DecodingSession;
}

/**
 * Drafts of a second, smaller model (https://arxiv.org/abs/2211.17192). It chooses with the very random
 * numbers that the answer's tokens will be drawn with, so that it draws what a model of the same
 * opinion draws; that the answer is its model's alone is the judge's business.
 */
export class ModelDrafts implements DraftSource {
  private readonly text: number[];
  private readonly acceptance = new Acceptance(2.8);
  private state: DecodingState | null = null;
  private readonly sampler: Sampler;
  private readonly random: () => number;
  /** The answer's random numbers as far as they were needed, and the next draft's. */
  private readonly numbers: number[] = [];
  private place = 0;

  constructor(
    private readonly model: DraftModel,
    private readonly of: Drafted,
  ) {
    this.text = [...of.prompt];
    this.random = seededRandom(of.seed);
    this.sampler = createSampler(of.sampling, () => this.number(this.place++));
  }

  push(id: number): void {
    this.text.push(id);
  }

  offer(): Offer | null {
    const { model } = this.model.session;
    const vocabulary = vocabularyOf(model);
    const behind = this.text.length - this.known();
    if (this.text.length >= model.contextLength) return null;
    // A token of an adapter's own is none of this model's.
    if (this.text.slice(-behind).some((id) => id >= vocabulary)) return null;
    const step = this.relativeStep();
    const first = costsOf(this.model.session).relative(Math.min(behind, catchUp));
    return {
      most: model.contextLength - this.text.length,
      acceptance: this.acceptance,
      cost: (size) => step * (size - 1 + first),
      canProbe: behind <= mostBehind,
      read: (size) => this.read(size),
    };
  }

  /** Leaves what was read to prompts that begin the same. */
  keep(): void {
    const { state, of, model } = this;
    if (state) keptStates(model.session).keep(state, { prompt: of.prompt.length, logits: null });
  }

  private async read(size: number): Promise<number[]> {
    const { text, of, sampler } = this;
    const constraint = of.constraint?.copy?.() ?? of.constraint;
    // What cannot be looked ahead with bounds the next token alone.
    const most = of.constraint && !of.constraint.copy ? 1 : size;
    const limit = vocabularyOf(of.judge.model);
    const seen = new SeenTokens(of.sampling, text);
    const draft: number[] = [];
    this.place = text.length - of.prompt.length;
    let logits = await this.readText();
    for (;;) {
      const id = sampler.next(logits, seen.all, constraint);
      if (id >= limit) break;
      draft.push(id);
      if (draft.length === most || constraint?.isFinal) break;
      seen.add(id);
      if (constraint !== of.constraint) constraint?.take(id);
      throwIfAborted(of.signal);
      logits = await this.forward([id]);
    }
    return draft;
  }

  /** Reads what the text has and this model has not seen yet. @returns logits of its last token */
  private async readText(): Promise<Float32Array> {
    const { text, of, model } = this;
    const { session, adapters } = model;
    this.state ??=
      keptStates(session).take(adapters, text)?.state ?? session.start(adapters, 1, [text]);
    const { state } = this;
    const known = this.known();
    rewind(state, state.cache.length - known);
    if (text.length - known <= catchUp) return this.forward(text.slice(known));
    const { data } = await readInParts(
      session,
      { rows: 1, from: known, to: text.length },
      {
        read: (start, end) => session.forward(state, [text.slice(start, end)]),
        signal: of.signal,
      },
    );
    return data;
  }

  private async forward(tokens: number[]): Promise<Float32Array> {
    const { session } = this.model;
    const started = performance.now();
    const { data } = await session.forward(this.state as DecodingState, [tokens]);
    costsOf(session).took(tokens.length, performance.now() - started);
    return data;
  }

  /** Tokens that need not be read again; the last one has to be, for what follows it. */
  private known(): number {
    const { state, text } = this;
    return state ? Math.min(commonLength(state.ids[0] ?? [], text), text.length - 1) : 0;
  }

  private number(place: number): number {
    while (this.numbers.length <= place) this.numbers.push(this.random());
    return this.numbers[place] as number;
  }

  /** Time of a step in those of the model that judges; by their weights before it was measured. */
  private relativeStep(): number {
    const [own, judge] = [this.model.session, this.of.judge];
    const [mine, its] = [costsOf(own).plainMs, costsOf(judge).plainMs];
    return mine > 0 && its > 0 ? mine / its : numbersOf(own.model) / numbersOf(judge.model);
  }
}

function vocabularyOf(model: Model): number {
  return model.kind === "causal" ? model.vocabulary : 0;
}

function numbersOf({ tree }: Model): number {
  return tree.modules.reduce(
    (sum, module) => sum + (module.kind === "linear" ? module.in * module.out : 0),
    1,
  );
}
