import { t } from "@vscode/l10n";
import { badRequest, throwIfAborted } from "../base/errors.ts";
import type { AdapterInputs } from "../session/adapterInputs.ts";
import type { DecodingState } from "../session/causalSession.ts";
import type { DecodingSession } from "../session/decodingSession.ts";
import type { TokenConstraint } from "./constraint.ts";
import { createSampler, type Sampling } from "./sampler.ts";

/** Prompts are read in parts of so many tokens, so that a wish to stop is heard between them. */
export const promptPart = 128;

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
  readonly signal?: AbortSignal;
}

export interface Generated {
  readonly ids: number[];
  readonly finish: "stop" | "length" | "context" | "cancelled";
  readonly seed: number;
  /** Seconds for the prompt, and for the tokens after the first. */
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
  /** Steps after the first token by their time; 0 when there were none. */
  readonly tokensPerSecond: number;
}

/**
 * Continues a prompt token by token. Stopping is a result like another: what was said stays.
 * @throws bad-request when the prompt does not fit the model's context
 */
export async function generate(
  session: DecodingSession,
  { prompt, adapters }: { prompt: readonly number[]; adapters: AdapterInputs },
  options: GenerateOptions,
): Promise<Generated> {
  const { contextLength } = session.model;
  const before = checkRequest(session.model, { prompt, adapters }, options);
  // What the answer goes on with.
  const text = session.readsApart ? [] : prompt;
  const taken = session.readsApart ? 0 : before + prompt.length;
  const sampler = createSampler(options.sampling);
  const state = session.start(adapters, 1, [prompt]);
  const ids: number[] = [];
  const started = performance.now();
  let prefilled = started;
  let steps = 0;
  const end = (finish: Generated["finish"]): Generated => {
    const decodeSeconds = (performance.now() - prefilled) / 1000;
    return {
      ids,
      finish,
      seed: sampler.seed,
      prefillSeconds: (prefilled - started) / 1000,
      decodeSeconds,
      tokensPerSecond: steps === 0 ? 0 : steps / decodeSeconds,
    };
  };
  try {
    let logits = await readPrompt(session, state, { prompt, signal: options.signal });
    prefilled = performance.now();
    for (;;) {
      const id = sampler.next(logits, [...text, ...ids], options.constraint);
      if (options.stopTokens.has(id)) return end("stop");
      ids.push(id);
      options.constraint?.take(id);
      options.onToken?.(id, logits);
      if (options.isEnd?.() || options.constraint?.isFinal) return end("stop");
      if (ids.length >= options.maxNewTokens) return end("length");
      if (taken + ids.length >= contextLength) return end("context");
      throwIfAborted(options.signal);
      if (options.adaptersNow) state.adapters = options.adaptersNow();
      logits = (await session.forward(state, [[id]])).data;
      steps++;
    }
  } catch (error) {
    if (options.signal?.aborted) return end("cancelled");
    throw error;
  }
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
  const before = adapters.virtualTokens + (adapters.cachePrefix?.count ?? 0);
  if (before + prompt.length >= contextLength) {
    const own = before === 0 ? "" : t(" and the adapter puts {0} before it", before);
    throw badRequest(
      t(
        "The prompt has {0} tokens{1}, the model's context holds {2}. Shorten it.",
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

async function readPrompt(
  session: DecodingSession,
  state: DecodingState,
  { prompt, signal }: { prompt: readonly number[]; signal: AbortSignal | undefined },
): Promise<Float32Array> {
  let logits = new Float32Array(0);
  const length = session.readsApart ? prompt.length : promptPart;
  for (let start = 0; start < prompt.length; start += length) {
    throwIfAborted(signal);
    const part = prompt.slice(start, start + length);
    logits = (await session.forward(state, [part])).data as Float32Array<ArrayBuffer>;
  }
  return logits;
}
