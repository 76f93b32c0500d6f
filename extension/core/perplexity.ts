import { t } from "@vscode/l10n";
import { badRequest, throwIfAborted, unsupported } from "./base/errors.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseInputs } from "./baseSession.ts";
import { type Prompt, promptTokenizer } from "./answer.ts";
import type { PeftModel } from "./peftModel.ts";
import type { ActiveAdapter } from "./loadedAdapters.ts";
import type { DecodingSession } from "./session/decodingSession.ts";

export interface PerplexityOptions {
  /** What is compared: sets of adapters, [] for the bare base. */
  readonly columns: readonly (readonly ActiveAdapter[])[];
  /** Tokens that a window holds; the model's context or 1,024, whichever is less, when absent. */
  readonly window?: number | undefined;
  /** By how many tokens a window begins after the one before; half a window when absent. */
  readonly stride?: number | undefined;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Tokens `begin` to `end` were read, and the last `counted` of them count. */
export interface ScoredWindow {
  readonly begin: number;
  readonly end: number;
  readonly counted: number;
  /** Sum over the counted tokens of −log p, in nats. */
  readonly nll: number;
}

export interface ColumnPerplexity {
  readonly adapters: readonly ActiveAdapter[];
  /** Mean of −log p over all counted tokens, in nats. */
  readonly nll: number;
  readonly perplexity: number;
  readonly windows: readonly ScoredWindow[];
  /** −log p of each counted token, in order; the text's first token has none. */
  readonly perToken: Float32Array;
}

export interface PerplexityReport {
  /** Tokens of the whole text, and those that count. */
  readonly tokens: number;
  readonly counted: number;
  readonly window: number;
  readonly stride: number;
  readonly columns: readonly ColumnPerplexity[];
}

/** Windows longer than this take minutes on a CPU and change the figure little. */
const longestWindow = 1024;
/** Numbers of one pass' logits; a part of a window is as long as they allow. */
const logitsBudget = 16 * 1024 * 1024;

/**
 * Perplexity of a text by sliding windows with a stride, as Hugging Face's documentation describes
 * it; every token counts once, with at least window − stride tokens before it.
 * @throws unsupported for models that do not continue a text; bad-request for a text of one token
 */
export async function measurePerplexity(
  model: PeftModel,
  text: string,
  options: PerplexityOptions,
): Promise<PerplexityReport> {
  const { columns, onProgress, signal } = options;
  if (columns.length === 0) throw badRequest(t("There is no model to measure the text under."));
  const inputs = columns.map((adapters) => model.inputsOf(adapters));
  // Adapters may bring a tokenizer of their own; figures compare where tokens are the same.
  const ids = columns.map((adapters) => promptTokenizer(model, adapters).encode(text));
  const shared = ids[0] as number[];
  if (shared.length < 2)
    throw badRequest(t("The text has fewer than two tokens. Choose a longer one."));
  const { window, stride } = sizes(model, inputs, options);
  const spans = windowsOf(shared.length, window, stride);
  const results: ColumnPerplexity[] = [];
  for (const [c, adapters] of columns.entries()) {
    const own = ids[c] as number[];
    const places = own.length === shared.length ? spans : windowsOf(own.length, window, stride);
    const onWindow = (done: number): void =>
      onProgress?.({
        step: t("Measuring perplexity"),
        done: c * spans.length + done,
        total: columns.length * spans.length,
        unit: "items",
      });
    const at = { inputs: inputs[c] as BaseInputs, places, onWindow, signal };
    results.push({ adapters, ...(await measureColumn(model, own, at)) });
  }
  const counted = spans.reduce((all, each) => all + each.counted, 0);
  return { tokens: shared.length, counted, window, stride, columns: results };
}

async function measureColumn(
  model: PeftModel,
  ids: readonly number[],
  {
    inputs,
    places,
    onWindow,
    signal,
  }: {
    inputs: BaseInputs;
    places: ReturnType<typeof windowsOf>;
    onWindow(done: number): void;
    signal: AbortSignal | undefined;
  },
): Promise<Omit<ColumnPerplexity, "adapters">> {
  const windows: ScoredWindow[] = [];
  const perToken: number[] = [];
  for (const [done, place] of places.entries()) {
    onWindow(done);
    const part = ids.slice(place.begin, place.end);
    const from = part.length - place.counted;
    const values = await score(model, inputs, { ids: part, from, signal });
    for (const value of values) perToken.push(value);
    windows.push({ ...place, nll: sum(values) });
  }
  const nll = sum(perToken) / perToken.length;
  return { nll, perplexity: Math.exp(nll), windows, perToken: Float32Array.from(perToken) };
}

/** An answer to score: how likely a model finds it after a prompt. */
export interface ScoredRow {
  readonly prompt: Prompt;
  readonly completion: string;
  readonly adapters: readonly ActiveAdapter[];
}

/** For each row the sum of −log p over the completion's tokens, and how many they are. */
export async function scoreCompletions(
  model: PeftModel,
  rows: readonly ScoredRow[],
  signal?: AbortSignal,
): Promise<{ nll: number; tokens: number }[]> {
  const scores: { nll: number; tokens: number }[] = [];
  for (const { prompt, completion, adapters } of rows) {
    throwIfAborted(signal);
    const before = model.encode(prompt, adapters);
    const tokenizer = promptTokenizer(model, adapters);
    const own = tokenizer.encode(completion, { addSpecialTokens: false });
    if (own.length === 0)
      throw badRequest(t("There is no text whose perplexity could be measured."));
    const ids = [...before, ...own];
    const inputs = model.inputsOf(adapters);
    const room = roomOf(model, inputs);
    if (ids.length > room) {
      throw badRequest(
        t(
          "Prompt and text have {0} tokens, the model's context holds {1}. Shorten them.",
          ids.length,
          room,
        ),
      );
    }
    const values = await score(model, inputs, { ids, from: before.length, signal });
    scores.push({ nll: sum(values), tokens: own.length });
  }
  return scores;
}

function roomOf(model: PeftModel, { virtualTokens, cachePrefix }: BaseInputs): number {
  return model.base.session.model.contextLength - virtualTokens - (cachePrefix?.count ?? 0);
}

function sizes(
  model: PeftModel,
  inputs: readonly BaseInputs[],
  { window: wished, stride: step }: PerplexityOptions,
): { window: number; stride: number } {
  // All columns read the same windows: an adapter's own tokens take their place from everyone's.
  const room = Math.min(...inputs.map((each) => roomOf(model, each)));
  const window = wished ?? Math.min(room, longestWindow);
  const isWhole = (value: number): boolean => Number.isInteger(value);
  if (!isWhole(window) || window < 2 || window > room) {
    throw badRequest(
      t("The window is {0} tokens; it must be 2 to {1} for this model.", window, room),
    );
  }
  const stride = step ?? Math.max(1, Math.floor(window / 2));
  if (!isWhole(stride) || stride < 1 || stride > window) {
    throw badRequest(
      t("The stride is {0} tokens; it must be 1 to the window's {1}.", stride, window),
    );
  }
  return { window, stride };
}

function windowsOf(
  length: number,
  window: number,
  stride: number,
): { begin: number; end: number; counted: number }[] {
  const spans: { begin: number; end: number; counted: number }[] = [];
  let before = 0;
  for (let begin = 0; before < length; begin += stride) {
    const end = Math.min(begin + window, length);
    // The first token of a window has nothing before it to be predicted from.
    const counted = Math.min(end - before, end - begin - 1);
    if (counted > 0) spans.push({ begin, end, counted });
    before = end;
  }
  return spans;
}

/** −log p of ids[from…], each after those before it. */
async function score(
  { base: { session } }: PeftModel,
  inputs: BaseInputs,
  { ids, from, signal }: { ids: readonly number[]; from: number; signal: AbortSignal | undefined },
): Promise<number[]> {
  return session.with(inputs, async (running) => {
    if (running.readsApart) {
      throw unsupported(
        t("This model reads a prompt with an encoder of its own"),
        t("Perplexity is measured for models that continue a text."),
      );
    }
    return scoreWith(running, inputs, { ids, from: Math.max(1, from), signal });
  });
}

async function scoreWith(
  running: DecodingSession,
  inputs: BaseInputs,
  { ids, from, signal }: { ids: readonly number[]; from: number; signal: AbortSignal | undefined },
): Promise<number[]> {
  const state = running.start(inputs, 1, [ids]);
  const values: number[] = [];
  // The last token predicts nothing that is here.
  const last = ids.length - 1;
  let start = 0;
  let most = 32;
  while (start < last) {
    throwIfAborted(signal);
    const part = ids.slice(start, Math.min(start + most, last));
    // The token at a place is predicted by the row before it.
    const wanted = part.map((_, row) => row).filter((row) => start + row + 1 >= from);
    const { data, shape } = await running.forward(state, [part], {
      logitsRows: wanted.length > 0 ? wanted : [part.length - 1],
    });
    const [, , vocabulary] = shape;
    wanted.forEach((row, at) => {
      const logits = data.subarray(at * vocabulary, (at + 1) * vocabulary);
      values.push(minusLog(logits, ids[start + row + 1] as number));
    });
    start += part.length;
    most = Math.min(128, Math.max(1, Math.floor(logitsBudget / vocabulary)));
  }
  return values;
}

/** −log of the softmax at one id. */
function minusLog(logits: Float32Array, id: number): number {
  let largest = -Infinity;
  for (const value of logits) if (value > largest) largest = value;
  let total = 0;
  for (const value of logits) total += Math.exp(value - largest);
  return largest + Math.log(total) - (logits[id] as number);
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
