import { t } from "@vscode/l10n";
import { badRequest, throwIfAborted } from "../base/errors.ts";
import type { AdapterInputs } from "../session/adapterInputs.ts";
import type { DecodingState } from "../session/decodingState.ts";
import type { DecodingSession } from "../session/decodingSession.ts";
import { beforePrompt, isSame, type Kept, keptStates } from "../session/keptStates.ts";
import { canRewind, keepsAngles, rewind } from "../session/rewind.ts";
import type { TokenConstraint } from "./constraint.ts";
import type { DraftCounts, Drafter } from "./draft/drafter.ts";
import { type DraftModel, ModelDrafts } from "./draft/draftModel.ts";
import { createDrafter, type Speculation } from "./draft/speculation.ts";
import { costsOf } from "./draft/stepCosts.ts";
import { readInParts } from "./promptParts.ts";
import { createSampler, type Sampler, type Sampling, SeenTokens } from "./sampler.ts";

export interface GenerateOptions {
  readonly sampling: Sampling;
  readonly maxNewTokens: number;
  /** Ids that end the answer; they are not part of it. */
  readonly stopTokens: ReadonlySet<number>;
  /** What the answer may go on with. */
  readonly constraint?: TokenConstraint | null;
  /** @param logits what it was chosen from [vocabulary]; valid during the call */
  readonly onToken?: (id: number, logits: Float32Array) => void;
  /** Asked after each token: true ends the answer with "stop". */
  readonly isEnd?: () => boolean;
  /** Adapters of the tokens to come, asked before each: what is read already stays as it was read. */
  readonly adaptersNow?: () => AdapterInputs;
  readonly speculation?: Speculation;
  /** A smaller model of the same vocabulary that proposes tokens as well; see `checkDraftModel`. */
  readonly draft?: DraftModel | null;
  /** False reads the whole prompt, also where an answer before began the same. */
  readonly reuse?: boolean;
  readonly signal?: AbortSignal;
}

export interface Generated {
  readonly ids: number[];
  readonly finish: "stop" | "length" | "context" | "cancelled";
  readonly seed: number;
  /** Tokens of the prompt that were known from an answer before, and not read again. */
  readonly reusedTokens: number;
  /** Seconds for the prompt, and for the tokens after the first. */
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
  /** Steps after the first token by their time; 0 when there were none. */
  readonly tokensPerSecond: number;
  /** Tokens that were read ahead, and how many of them the answer took. */
  readonly speculation: DraftCounts;
}

type Finish = Generated["finish"];

/**
 * Continues a prompt token by token. Stopping is a result like another: what was said stays.
 * @throws bad-request when the prompt does not fit the model's context
 */
export async function generate(
  session: DecodingSession,
  request: { prompt: readonly number[]; adapters: AdapterInputs },
  options: GenerateOptions,
): Promise<Generated> {
  const before = checkRequest(session.model, request, options);
  return new Continuation(session, { ...request, before }, options).run();
}

/** One prompt and what is said to it. */
class Continuation {
  private readonly sampler: Sampler;
  private readonly state: DecodingState;
  private readonly kept: Kept | null;
  private readonly drafter: Drafter | null;
  private readonly drafts: ModelDrafts | null = null;
  private readonly ids: number[] = [];
  private readonly seen: SeenTokens;
  /** Tokens that the sampler chose, an end among them. */
  private chosen = 0;
  /** Everything that was read was read with the adapters of the beginning. */
  private isPure = true;

  constructor(
    private readonly session: DecodingSession,
    private readonly of: { prompt: readonly number[]; adapters: AdapterInputs; before: number },
    private readonly options: GenerateOptions,
  ) {
    const { prompt, adapters } = of;
    this.sampler = createSampler(options.sampling);
    const isKnown = options.reuse !== false && canRewind(session.model, adapters);
    this.kept = isKnown && !session.readsApart ? keptStates(session).take(adapters, prompt) : null;
    this.state = this.kept?.state ?? session.start(adapters, 1, [prompt]);
    if (canDraft(session, adapters, options)) {
      if (options.draft && !session.readsApart) this.drafts = this.modelDrafts(options.draft);
      this.drafter = createDrafter(session, { ...options, prompt, drafts: this.drafts });
    } else this.drafter = null;
    this.seen = new SeenTokens(options.sampling, session.readsApart ? [] : prompt);
  }

  async run(): Promise<Generated> {
    const started = performance.now();
    let prefilled = started;
    let finish: Finish;
    let first: Float32Array | null = null;
    try {
      first = await this.readPrompt();
      prefilled = performance.now();
      finish = await this.decode(first);
    } catch (error) {
      if (!this.options.signal?.aborted) throw error;
      finish = "cancelled";
    }
    this.keep(first);
    const decodeSeconds = (performance.now() - prefilled) / 1000;
    const { drafted = 0, accepted = 0 } = this.drafter ?? {};
    return {
      ids: this.ids,
      finish,
      seed: this.sampler.seed,
      reusedTokens: this.kept?.length ?? 0,
      prefillSeconds: (prefilled - started) / 1000,
      decodeSeconds,
      tokensPerSecond: this.chosen > 1 ? (this.chosen - 1) / decodeSeconds : 0,
      speculation: { drafted, accepted },
    };
  }

  /** Logits of the prompt's last token. */
  private async readPrompt(): Promise<Float32Array> {
    const { session, state, of, options, kept } = this;
    const { prompt } = of;
    if (kept?.logits) return kept.logits;
    if (session.readsApart) {
      throwIfAborted(options.signal);
      return (await session.forward(state, [prompt])).data;
    }
    const { data } = await readInParts(
      session,
      { rows: 1, from: kept?.length ?? 0, to: prompt.length },
      {
        read: (start, end) => session.forward(state, [prompt.slice(start, end)]),
        signal: options.signal,
      },
    );
    // It outlives the run.
    return data.slice();
  }

  private modelDrafts(draft: DraftModel): ModelDrafts {
    const { sampling, constraint = null, signal } = this.options;
    return new ModelDrafts(draft, {
      ...{ prompt: this.of.prompt, sampling, seed: this.sampler.seed, constraint, signal },
      judge: this.session,
    });
  }

  /** Leaves what was read to prompts that begin the same. */
  private keep(logits: Float32Array | null): void {
    const { session, state, of, options, isPure } = this;
    if (!isPure || session.readsApart || options.reuse === false) return;
    if (!canRewind(session.model, of.adapters)) return;
    this.drafts?.keep();
    keptStates(session).keep(state, { prompt: of.prompt.length, logits });
  }

  private async decode(first: Float32Array): Promise<Finish> {
    const { session, state, ids, drafter } = this;
    const costs = costsOf(session);
    let logits = first;
    let draft: readonly number[] = [];
    for (;;) {
      const finish = this.take(logits, draft);
      if (finish) return finish;
      draft = (await drafter?.propose(this.room())) ?? [];
      if (!this.keepsAngles(draft.length)) draft = [];
      const tokens = [ids.at(-1) as number, ...draft];
      const started = performance.now();
      const rows = draft.length === 0 ? {} : { logitsRows: tokens.map((_, row) => row) };
      logits = (await session.forward(state, [tokens], rows)).data;
      costs.took(tokens.length, performance.now() - started);
    }
  }

  /**
   * Takes tokens from the rows of a pass [1 + draft, vocabulary] as long as they are those that were
   * read ahead, as if each row had been a pass of its own; what was read in vain is taken back.
   * @returns how the answer ends, or null when it goes on
   */
  private take(data: Float32Array, draft: readonly number[]): Finish | null {
    const vocabulary = data.length / (draft.length + 1);
    let row = 0;
    try {
      for (; ; row++) {
        const finish = this.takeOne(data.subarray(row * vocabulary, (row + 1) * vocabulary));
        if (finish) return finish;
        throwIfAborted(this.options.signal);
        if (!this.keepsAdapters() || this.ids.at(-1) !== draft[row]) return null;
      }
    } finally {
      this.drafter?.judge(draft.length, row);
      rewind(this.state, draft.length - row);
    }
  }

  private takeOne(logits: Float32Array): Finish | null {
    const { options, ids, seen } = this;
    const { constraint } = options;
    const id = this.sampler.next(logits, seen.all, constraint);
    this.chosen++;
    if (options.stopTokens.has(id)) return "stop";
    ids.push(id);
    seen.add(id);
    this.drafter?.push(id);
    constraint?.take(id);
    options.onToken?.(id, logits);
    if (options.isEnd?.() || constraint?.isFinal) return "stop";
    if (ids.length >= options.maxNewTokens) return "length";
    return this.length >= this.session.model.contextLength ? "context" : null;
  }

  /** Has the adapters of now read the tokens to come; false when they are others than before. */
  private keepsAdapters(): boolean {
    const { adaptersNow } = this.options;
    if (!adaptersNow) return true;
    const now = adaptersNow();
    if (now === this.state.adapters) return true;
    if (!isSame(now, this.state.adapters)) this.isPure = false;
    this.state.adapters = now;
    return false;
  }

  /** Tokens of the text, with what stands before it. */
  private get length(): number {
    const { prompt, before } = this.of;
    return this.ids.length + (this.session.readsApart ? 0 : before + prompt.length);
  }

  /** Tokens that may be read ahead: as many as could be taken. */
  private room(): number {
    const { maxNewTokens } = this.options;
    const { contextLength } = this.session.model;
    return Math.min(maxNewTokens - this.ids.length, contextLength - this.length) - 1;
  }

  private keepsAngles(drafted: number): boolean {
    const length = this.length;
    return drafted === 0 || keepsAngles(this.session.model, [length, length + drafted]);
  }
}

/** False where reading ahead is not wished or cannot be taken back. */
function canDraft(
  { model }: DecodingSession,
  adapters: AdapterInputs,
  { speculation }: GenerateOptions,
): boolean {
  return speculation !== "off" && canRewind(model, adapters);
}

/**
 * Refuses a prompt that does not fit.
 * @returns how many tokens stand before it
 */
export function checkRequest(
  { contextLength }: DecodingSession["model"],
  { prompt, adapters }: { prompt: readonly number[]; adapters: AdapterInputs },
  { maxNewTokens }: Pick<GenerateOptions, "maxNewTokens">,
): number {
  if (prompt.length === 0) throw badRequest(t("The prompt is empty."));
  const before = beforePrompt(adapters);
  if (before + prompt.length >= contextLength) {
    const own = before === 0 ? "" : t(" and the adapter puts {0} before it", before);
    throw badRequest(
      t(
        "The prompt has {0} tokens{1}, the model's context holds {2}. Shorten it; in a conversation, begin a new one.",
        prompt.length,
        own,
        contextLength,
      ),
    );
  }
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens > 0)) {
    throw badRequest(t("Max new tokens is {0}; it must be at least 1.", maxNewTokens));
  }
  return before;
}
