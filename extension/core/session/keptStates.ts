import { perObject } from "../base/perObject.ts";
import type { Model } from "../models/model.ts";
import { type AdapterInputs, isSameRow } from "./adapterInputs.ts";
import type { DecodingState } from "./decodingState.ts";
import { canRewind, keepsAngles, rewind, rotaryOf } from "./rewind.ts";

/** Fewer tokens are read anew as quickly as they are looked up. */
const leastTokens = 4;
const mostStates = 2;
/** Places of a cache that is gone on with, at most so many times those of the prompt, a short one aside. */
const [mostRoom, leastRoom] = [4, 64];
/** Bytes of keys and values that are kept at least, and per number of the model's layers. */
const [leastBytes, bytesPerNumber] = [32 * 2 ** 20, 1 / 8];

/** A sequence that an answer may go on from. */
export interface Kept {
  readonly state: DecodingState;
  /** How many tokens of the prompt it knows. */
  readonly length: number;
  /** Of the prompt's last token, where it knows the whole of it. */
  readonly logits: Float32Array | null;
}

interface Entry {
  readonly state: DecodingState;
  readonly prompt: number;
  readonly logits: Float32Array | null;
  readonly bytes: number;
}

/**
 * Keys and values of answers that have ended: a prompt that begins as one of them does is read from
 * where it differs. A session's own, so that they go with it.
 */
class KeptStates {
  private entries: Entry[] = [];

  constructor(private readonly model: Model) {}

  /** Keeps the state of a batch of one. @param of the prompt's length and the logits of its last token */
  keep(state: DecodingState, of: { prompt: number; logits: Float32Array | null }): void {
    const { model } = this;
    if (!state.adapters.identity || !canRewind(model, state.adapters)) return;
    const { layers, keyValueHeads, headDim } = model;
    const bytes = 2 * layers * keyValueHeads * headDim * 4 * state.cache.capacity;
    this.entries.unshift({ ...of, state, bytes });
    let left = budget(model);
    this.entries = this.entries.filter((each, i) => i < mostStates && (left -= each.bytes) >= 0);
  }

  /** Takes out what knows the most of a prompt, cut to that; null where that is little or nothing. */
  take(adapters: AdapterInputs, prompt: readonly number[]): Kept | null {
    const before = beforePrompt(adapters);
    let best: { entry: Entry; common: number } | null = null;
    for (const entry of this.entries) {
      if (!isSame(entry.state.adapters, adapters)) continue;
      const common = commonLength(entry.state.ids[0] ?? [], prompt, before);
      if (common > (best?.common ?? leastTokens - 1)) best = { entry, common };
    }
    if (!best) return null;
    const { state, logits, prompt: asked } = best.entry;
    // What it knows beyond that is lost: a short beginning in common is not worth a long conversation.
    const isMost = 2 * best.common >= Math.min(prompt.length, state.cache.length - before);
    // Steps over a cache that is far too large take longer.
    const isFitting =
      state.cache.capacity <= mostRoom * Math.max(leastRoom, before + prompt.length);
    const isWhole = logits !== null && best.common === prompt.length && asked === prompt.length;
    const length = isWhole ? best.common : Math.min(best.common, prompt.length - 1);
    if (!isMost || !isFitting || !this.holds(state, [before + length, before + prompt.length]))
      return null;
    this.entries = this.entries.filter((each) => each !== best.entry);
    rewind(state, state.cache.length - before - length);
    const own = { ...state, adapters, prompt: [prompt], activeFrom: null };
    return { state: own, length, logits: isWhole ? logits : null };
  }

  clear(): void {
    this.entries = [];
  }

  /** True where all keys are turned by angles that hold for both lengths. */
  private holds({ turned }: DecodingState, lengths: readonly [number, number]): boolean {
    const { model } = this;
    if (!keepsAngles(model, lengths)) return false;
    return rotaryOf(model).every((table, i) => table.frequencies(lengths[0]) === turned[i]);
  }
}

export const keptStates = perObject(
  (session: { readonly model: Model }) => new KeptStates(session.model),
);

/** How many tokens adapters put before a prompt. */
export function beforePrompt({ virtualTokens, cachePrefix }: AdapterInputs): number {
  return virtualTokens + (cachePrefix?.count ?? 0);
}

/** True where both feed the same: the same adapters, unchanged, with the same weights. */
export function isSame(one: AdapterInputs, other: AdapterInputs): boolean {
  const [a, b] = [one.identity, other.identity];
  if (one === other) return true;
  if (!a || !b || one.tensors.size !== other.tensors.size || a.length !== b.length) return false;
  return a.every((row, i) => isSameRow(row, b[i] ?? []));
}

/** How many tokens a prompt and what stands behind `before` places of a sequence begin with alike. */
export function commonLength(
  ids: readonly number[],
  prompt: readonly number[],
  before = 0,
): number {
  const most = Math.min(ids.length - before, prompt.length);
  let length = 0;
  while (length < most && ids[before + length] === prompt[length]) length++;
  return length;
}

function budget({ tree }: Model): number {
  const numbers = tree.modules.reduce(
    (sum, module) => sum + (module.kind === "linear" ? module.in * module.out : 0),
    0,
  );
  return Math.max(leastBytes, numbers * bytesPerNumber);
}
