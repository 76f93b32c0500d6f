import { throwIfAborted } from "../base/errors.ts";
import type { AdapterInputs } from "../session/adapterInputs.ts";
import type { DecodingState, Logits } from "../session/decodingState.ts";
import type { DecodingSession } from "../session/decodingSession.ts";
import { beforePrompt } from "../session/keptStates.ts";
import { checkRequest, generate, type Generated, type GenerateOptions } from "./generate.ts";
import type { TokenConstraint } from "./constraint.ts";
import { readInParts } from "./promptParts.ts";
import { readBeginning } from "./sharedBeginning.ts";
import { createSampler, type Sampler, SeenTokens } from "./sampler.ts";

type RowOptions = "onToken" | "stopTokens" | "constraint" | "isEnd";

export interface GenerateBatchOptions extends Omit<GenerateOptions, RowOptions> {
  /** Per row, ids that end the answer. */
  readonly stopTokens: readonly ReadonlySet<number>[];
  /** Per row, what the answer may go on with. */
  readonly constraints?: readonly (TokenConstraint | null)[];
  /** @param logits what it was chosen from [vocabulary]; valid during the call */
  readonly onToken?: (row: number, id: number, logits: Float32Array) => void;
  /** Asked after each token of a row: true ends its answer with "stop". */
  readonly isEnd?: (row: number) => boolean;
  readonly onEnd?: (row: number, finish: Generated["finish"]) => void;
}

/** One prompt of a batch and what has been said to it so far. */
interface Row {
  readonly prompt: readonly number[];
  /** What the answer goes on with: the prompt, unless an encoder reads it. */
  readonly text: readonly number[];
  readonly seen: SeenTokens;
  readonly sampler: Sampler;
  readonly constraint: TokenConstraint | null;
  readonly ids: number[];
  finish: Generated["finish"] | null;
  decodeSeconds: number;
  /** Tokens of its prompt that were read for another row, or for an answer before. */
  reusedTokens: number;
}

/**
 * Continues several prompts in one pass a token, each row with adapters of its own where the inputs
 * say so. Shorter prompts are padded in front, as Hugging Face's generate has them; every row gives
 * what it would give alone.
 * @throws bad-request when a prompt does not fit the model's context
 */
export async function generateBatch(
  session: DecodingSession,
  { prompts, adapters }: { prompts: readonly (readonly number[])[]; adapters: AdapterInputs },
  options: GenerateBatchOptions,
): Promise<Generated[]> {
  const [only, ...others] = prompts;
  if (only && others.length === 0)
    return [await generateRow(session, { prompt: only, adapters }, options)];
  for (const prompt of prompts) checkRequest(session.model, { prompt, adapters }, options);
  const rows = prompts.map((prompt, i): Row => {
    const text = session.readsApart ? [] : prompt;
    const sampler = createSampler(options.sampling);
    const constraint = options.constraints?.[i] ?? null;
    const seen = new SeenTokens(options.sampling, text);
    return {
      prompt,
      text,
      seen,
      sampler,
      constraint,
      ids: [],
      finish: null,
      decodeSeconds: 0,
      reusedTokens: 0,
    };
  });
  const started = performance.now();
  let prefilled = started;
  try {
    await run(session, rows, {
      adapters,
      options,
      onPrefilled: () => (prefilled = performance.now()),
    });
  } catch (error) {
    if (!options.signal?.aborted) throw error;
  }
  const now = performance.now();
  return rows.map(({ ids, sampler, finish, decodeSeconds, reusedTokens }) => {
    const seconds = finish ? decodeSeconds : (now - prefilled) / 1000;
    return {
      ids,
      finish: finish ?? "cancelled",
      seed: sampler.seed,
      prefillSeconds: (prefilled - started) / 1000,
      decodeSeconds: seconds,
      tokensPerSecond: ids.length > 1 ? (ids.length - 1) / seconds : 0,
      speculation: { drafted: 0, accepted: 0 },
      reusedTokens,
    };
  });
}

/** A batch of one is continued as a prompt alone is: tokens may be read ahead. */
async function generateRow(
  session: DecodingSession,
  request: { prompt: readonly number[]; adapters: AdapterInputs },
  options: GenerateBatchOptions,
): Promise<Generated> {
  const { onToken, isEnd, onEnd, stopTokens, constraints, ...rest } = options;
  const answer = await generate(session, request, {
    ...rest,
    stopTokens: stopTokens[0] ?? new Set(),
    constraint: constraints?.[0] ?? null,
    ...(onToken && { onToken: (id: number, logits: Float32Array) => onToken(0, id, logits) }),
    ...(isEnd && { isEnd: () => isEnd(0) }),
  });
  if (answer.finish !== "cancelled") onEnd?.(0, answer.finish);
  return answer;
}

async function run(
  session: DecodingSession,
  rows: readonly Row[],
  at: { adapters: AdapterInputs; options: GenerateBatchOptions; onPrefilled: () => void },
): Promise<void> {
  const { adapters, options, onPrefilled } = at;
  const { state, logits: first } = await readPrompts(session, rows, at);
  onPrefilled();
  const started = performance.now();
  const before = beforePrompt(adapters);
  let logits = first;
  for (;;) {
    const [, , vocabulary] = logits.shape;
    rows.forEach((row, i) => {
      if (row.finish) return;
      const own = logits.data.subarray(i * vocabulary, (i + 1) * vocabulary);
      const room = session.model.contextLength - (session.readsApart ? 0 : before);
      row.finish = step(row, own, { row: i, room, options });
      if (!row.finish) return;
      row.decodeSeconds = (performance.now() - started) / 1000;
      options.onEnd?.(i, row.finish);
    });
    if (rows.every(({ finish }) => finish)) return;
    throwIfAborted(options.signal);
    if (options.adaptersNow) state.adapters = options.adaptersNow();
    // A row that has ended is fed padding, which the others do not see anyway.
    const tokens = rows.map((row) => [row.finish ? 0 : (row.ids.at(-1) as number)]);
    const attentionMask = rows.map((row) => Uint8Array.of(row.finish ? 0 : 1));
    logits = await session.forward(state, tokens, { attentionMask });
  }
}

/** Takes a row's next token; says how the row ended, or null when it goes on. */
function step(
  { text, seen, sampler, constraint, ids }: Row,
  logits: Float32Array,
  at: { row: number; room: number; options: GenerateBatchOptions },
): Row["finish"] {
  const { row, room, options } = at;
  const id = sampler.next(logits, seen.all, constraint);
  if (options.stopTokens[row]?.has(id)) return "stop";
  ids.push(id);
  seen.add(id);
  constraint?.take(id);
  options.onToken?.(row, id, logits);
  if (options.isEnd?.(row) || constraint?.isFinal) return "stop";
  if (ids.length >= options.maxNewTokens) return "length";
  return text.length + ids.length >= room ? "context" : null;
}

/**
 * Reads prompts of several lengths in parts: what they all begin with once, of the rest the shorter ones
 * padded in front.
 */
async function readPrompts(
  session: DecodingSession,
  rows: readonly Row[],
  { adapters, options }: { adapters: AdapterInputs; options: GenerateBatchOptions },
): Promise<{ state: DecodingState; logits: Logits }> {
  const { signal, reuse } = options;
  const prompts = rows.map(({ prompt }) => prompt);
  const shared = await readBeginning(session, { prompts, adapters }, { reuse, signal });
  const count = shared?.ids.length ?? 0;
  rows.forEach((row, i) => (row.reusedTokens = i === 0 ? (shared?.known ?? 0) : count));
  const width = Math.max(...prompts.map(({ length }) => length)) - count;
  const missing = prompts.map(({ length }) => width - (length - count));
  const tokens = prompts.map((own, i) => [
    ...padding(missing[i] as number, 0),
    ...own.slice(count),
  ]);
  const mask = missing.map((each) => [...padding(each, 0), ...padding(width - each, 1)]);
  // What is known of a whole prompt does not begin with padding, which -1 is like for no token.
  const known = prompts.map((own, i) => [...padding(missing[i] as number, -1), ...own]);
  const state = session.start(shared?.adapters ?? adapters, rows.length, known);
  const read = async (start: number, end: number): Promise<Logits> => {
    const logits = await session.forward(
      state,
      tokens.map((row) => row.slice(start, end)),
      { attentionMask: mask.map((row) => Uint8Array.from(row.slice(start, end))) },
    );
    // The beginning stands there like what an adapter puts before a prompt, but is the prompt's.
    if (shared && start === 0) {
      for (const row of state.ids) row.splice(0, count, ...shared.ids);
      state.adapters = adapters;
    }
    return logits;
  };
  if (session.readsApart) throwIfAborted(signal);
  const logits = session.readsApart
    ? await read(0, width)
    : await readInParts(session, { rows: rows.length, to: width }, { read, signal });
  return { state, logits };
}

function padding(count: number, value: number): number[] {
  return Array<number>(count).fill(value);
}
