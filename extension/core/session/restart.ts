import type { CausalModel } from "../models/causalModel.ts";
import type { DecodingState, Request } from "./decodingState.ts";

/**
 * Positions of a row's tokens from place `past` on: their places where padding counts too, else how many
 * real ones (1) stand before them. Padding in front stays at 0; behind it goes on, as in Hugging Face's
 * forward, which methods that average over all tokens see.
 */
export function positionsFrom(
  row: readonly number[],
  past: number,
  countPadding: boolean,
): number[] {
  const out: number[] = [];
  let [count, last] = [0, -1];
  for (let place = countPadding ? past : 0; place < row.length; place++) {
    if (countPadding) last = place;
    else if (row[place] === 1) last = count++;
    else if (count > 0) last++;
    if (place >= past) out.push(Math.max(0, last));
  }
  return out;
}

/** Length of the longest row by its positions [batch][seq]. */
export function lengthOf(positions: readonly (readonly number[])[]): number {
  return positions.flat().reduce((most, position) => Math.max(most, position + 1), 0);
}

/**
 * The request with all tokens that `state` knows in front, and `state` emptied, where the new tokens
 * make the sequence so long (or short) that its cached keys are turned by angles that no longer hold.
 * transformers recomputes them then too (models/phi3, prepare_inputs_for_generation).
 * @returns also what puts the state back when the run fails
 */
export function restarted(
  state: DecodingState,
  request: Request,
  { rotary: tables, skipsPadding }: Pick<CausalModel, "rotary" | "skipsPadding">,
): { readonly request: Request; undo(): void } {
  const { cache, ids, seen } = state;
  const nothing = { request, undo: () => undefined };
  if (cache.length === 0 || !tables.some((table) => table.isRestarting)) return nothing;
  const { tokens, options } = request;
  const isReal = (row: number, place: number): number => options.attentionMask?.[row]?.[place] ?? 1;
  const whole = seen.map((row, i) => [...row, ...(tokens[i] ?? []).map((_, j) => isReal(i, j))]);
  const countPadding = options.countPadding === true && !skipsPadding;
  const length = lengthOf(whole.map((row) => positionsFrom(row, 0, countPadding)));
  const turned = tables.map((table) => table.frequencies(length));
  if (tables.every((table, i) => !table.isRestarting || turned[i] === state.turned[i])) {
    return nothing;
  }
  // What adapters put there is put there anew.
  const places = (ids[0] ?? []).flatMap((id, place) => (id < 0 ? [] : [place]));
  const known = (rows: readonly (readonly number[])[], i: number): number[] =>
    places.map((place) => rows[i]?.[place] as number);
  const again = {
    tokens: tokens.map((row, i) => [...known(ids, i), ...row]),
    options: {
      ...options,
      attentionMask: tokens.map((row, i) =>
        Uint8Array.from([...known(seen, i), ...row.map((_, j) => isReal(i, j))]),
      ),
      logitsRows: options.logitsRows?.map((row) => row + places.length),
    },
  };
  return { request: again, undo: emptied(state) };
}

/** Empties a state; what it returns puts back what was there, as long as nothing was run since. */
function emptied(state: DecodingState): () => void {
  const { cache, first, companion, turned } = state;
  const { length } = cache;
  const [ids, seen] = [state.ids, state.seen].map((rows) => rows.map((row) => row.splice(0)));
  cache.truncate(0);
  Object.assign(state, { first: null, companion: null });
  return () => {
    cache.length = length;
    const put = (rows: number[][], from: number[][] = []): void =>
      rows.forEach((row, i) => row.splice(0, row.length, ...(from[i] ?? [])));
    put(state.ids, ids);
    put(state.seen, seen);
    Object.assign(state, { first, companion, turned });
  };
}
