import type { AdapterSummary } from "./protocol/engineContract.ts";
import type { AdapterEffect } from "./state.ts";

/** How strong adapters were found to be, by path; of weights that have changed since it says nothing. */
export type KeptEffects = Readonly<Record<string, AdapterEffect & { modified: number }>>;

/** So that what is kept never grows without end. */
const mostKept = 2000;

/** @param kept oldest first; the oldest give way */
export function withEffect(
  kept: KeptEffects,
  { path, modified }: AdapterSummary,
  effect: AdapterEffect,
): KeptEffects {
  const { [path]: _, ...others } = kept;
  const room = Object.entries(others).slice(-(mostKept - 1));
  return { ...Object.fromEntries(room), [path]: { ...effect, modified } };
}

/** What is known of adapters whose weights are as they were when it was found. */
export function knownEffects(
  kept: KeptEffects,
  adapters: readonly AdapterSummary[],
): ReadonlyMap<string, AdapterEffect> {
  const known = adapters.flatMap(({ path, modified }): [string, AdapterEffect][] => {
    const own = kept[path];
    return own?.modified === modified ? [[path, { kind: own.kind, value: own.value }]] : [];
  });
  return new Map(known);
}
