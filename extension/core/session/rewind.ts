import type { Model } from "../models/model.ts";
import type { RotaryTable } from "../models/rope.ts";
import type { AdapterInputs } from "./adapterInputs.ts";
import type { DecodingState } from "./decodingState.ts";

/**
 * True where tokens that were read can be taken back and others read in their place, as if they had
 * never been there. Routers and companions have a past of their own, and gated updates depend on what
 * the prompt was.
 */
export function canRewind(model: Model, adapters: AdapterInputs): boolean {
  const { router, companion, activation } = adapters;
  const isGated = activation?.tokens.some((tokens) => tokens.length > 0) === true;
  if (router || companion || isGated) return false;
  if (model.kind === "seq2seq") return true;
  // Attention that only counts tokens is given one new token at a time.
  return model.kind === "causal" && model.ports?.countsTokens !== true;
}

/** Takes the last `count` tokens back. */
export function rewind(state: DecodingState, count: number): void {
  if (count === 0) return;
  const length = state.cache.length - count;
  state.cache.truncate(length);
  for (const row of [...state.seen, ...state.ids]) row.length = length;
}

/** True where sequences of both lengths turn keys by the same angles. */
export function keepsAngles(model: Model, [one, other]: readonly [number, number]): boolean {
  return rotaryOf(model).every((table) => table.frequencies(one) === table.frequencies(other));
}

export function rotaryOf(model: Model): readonly RotaryTable[] {
  if (model.kind === "causal") return model.rotary;
  return model.kind === "seq2seq" ? model.decoder.rotary : [];
}
