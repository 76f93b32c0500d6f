import { type AdapterInputs, isSameRow } from "../session/adapterInputs.ts";
import type { DecodingSession } from "../session/decodingSession.ts";
import { commonLength, keptStates } from "../session/keptStates.ts";
import { adaptersOfRow } from "../session/oneByOne.ts";
import { canRewind, keepsAngles, rewind } from "../session/rewind.ts";
import { readInParts } from "./promptParts.ts";

/** Fewer tokens are read in every row. */
const leastTokens = 16;

/** What all prompts of a batch begin with, read once. */
export interface SharedBeginning {
  readonly ids: readonly number[];
  /** How many of them an answer before had read. */
  readonly known: number;
  /** The batch's adapters, which put the keys and values of the beginning before every row. */
  readonly adapters: AdapterInputs;
}

/**
 * Reads what the prompts of a batch have in common once, where all rows have the same adapters.
 * @returns null where that is little, or rows are not alike
 */
export async function readBeginning(
  session: DecodingSession,
  { prompts, adapters }: { prompts: readonly (readonly number[])[]; adapters: AdapterInputs },
  { reuse, signal }: { reuse?: boolean | undefined; signal?: AbortSignal | undefined },
): Promise<SharedBeginning | null> {
  const [first = []] = prompts;
  const count = commonToAll(prompts);
  const width = Math.max(...prompts.map(({ length }) => length));
  if (reuse === false || count < leastTokens || !canShare(session, adapters)) return null;
  if (!keepsAngles(session.model, [count, width])) return null;
  const own = adaptersOfRow(adapters, 0);
  const kept = keptStates(session).take(own, first);
  const state = kept?.state ?? session.start(own, 1, [first]);
  const known = Math.min(kept?.length ?? 0, count);
  rewind(state, (kept?.length ?? 0) - known);
  await readInParts(
    session,
    { rows: 1, from: known, to: count },
    { read: (start, end) => session.forward(state, [first.slice(start, end)]), signal },
  );
  const rows = state.cache.read?.(count);
  keptStates(session).keep(state, { prompt: count, logits: null });
  if (!rows) return null;
  const cachePrefix = { count, padding: [], rows: [rows] };
  return { ids: first.slice(0, count), known, adapters: { ...adapters, cachePrefix } };
}

function canShare({ readsApart, model }: DecodingSession, adapters: AdapterInputs): boolean {
  if (readsApart || model.kind !== "causal" || model.ports) return false;
  // Padding then stands in the middle, where windows and distances would count it.
  if (model.relative || model.masks.some(({ window }) => window !== null)) return false;
  if (!canRewind(model, adapters) || adapters.virtualTokens > 0 || adapters.cachePrefix)
    return false;
  const [first = [], ...others] = adapters.identity ?? [];
  return adapters.identity !== null && others.every((row) => isSameRow(row, first));
}

/** Every prompt has a token of its own behind it, whose logits are wanted. */
function commonToAll(prompts: readonly (readonly number[])[]): number {
  const [first = []] = prompts;
  const most = Math.min(...prompts.map(({ length }) => length)) - 1;
  return Math.min(most, ...prompts.map((row) => commonLength(first, row)));
}
