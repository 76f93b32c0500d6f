import type { ActivationFeed } from "./adapterInputs.ts";
import type { DecodingState } from "./decodingState.ts";
import { float32Tensor, type Tensor } from "./ortSession.ts";

/**
 * Says which of the new tokens gated updates change: those from the start of the last place on where the
 * activation's own tokens stand in a row.
 * @param at `ids` [batch][seq], -1 for virtual ones; `rows`: places among them whose logits are wanted
 */
export function feedGates(
  feeds: Record<string, Tensor>,
  state: DecodingState,
  activation: ActivationFeed,
  { ids, rows }: { ids: readonly (readonly number[])[]; rows: readonly number[] },
): void {
  const past = state.cache.length;
  for (const row of state.ids) row.length = past;
  if (state.activeFrom?.of !== activation) {
    const first = ids.map((row) => row.findIndex((id) => id >= 0));
    const starts = ids.map((row, i) => {
      const rest = past === 0 || state.ids[i]?.every((id) => id < 0) ? state.prompt?.[i] : null;
      const known = rest ? [...row.slice(0, first[i]), ...rest] : row;
      const tokens = activation.tokens[i] ?? activation.tokens[0] ?? [];
      return lastStart([...(state.ids[i] as number[]), ...known], tokens);
    });
    state.activeFrom = { of: activation, rows: starts };
  }
  const starts = state.activeFrom.rows;
  const seq = ids[0]?.length ?? 0;
  for (const { name, of } of activation.inputs) {
    const places = of === "logits" ? rows : Array.from({ length: seq }, (_, i) => i);
    const gate = starts.flatMap((start) => places.map((place) => Number(past + place >= start)));
    feeds[name] = float32Tensor(Float32Array.from(gate), [starts.length, places.length, 1]);
  }
}

/** Where `part` stands last in `ids`; Infinity where it does not. */
function lastStart(ids: readonly number[], part: readonly number[]): number {
  if (part.length === 0) return Infinity;
  for (let start = ids.length - part.length; start >= 0; start--) {
    if (part.every((id, i) => ids[start + i] === id)) return start;
  }
  return Infinity;
}
