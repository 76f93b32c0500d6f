/**
 * Batches for graphs whose attention only counts a row's tokens (GroupQueryAttention): rows with
 * padding are run one by one without it, each with a past of its own. The result is the same.
 */
import type { AdapterInputs } from "./adapterInputs.ts";
import type { CausalSession } from "./causalSession.ts";
import type { DecodingState, Logits, Request } from "./decodingState.ts";
import { float32Tensor, type Tensor } from "./ortSession.ts";

/** Whether such a graph cannot run these tokens as one batch: padding, or several tokens after a past. */
export function mustSplit(state: DecodingState, { tokens, options }: Request): boolean {
  if (state.rows) return true;
  if (tokens.length === 1) return false;
  const hasPast = state.cache.length > 0 || state.adapters.cachePrefix !== null;
  const isPadded = options.attentionMask?.some((row) => row.includes(0)) === true;
  return isPadded || (hasPast && (tokens[0]?.length ?? 0) > 1);
}

/** Runs new tokens after those of `state`, of every row the real ones alone. */
export async function forwardOneByOne(
  session: CausalSession,
  state: DecodingState,
  { tokens, options }: Request,
): Promise<Logits> {
  state.rows ??= await statesOf(session, state);
  const wanted = options.logitsRows ?? [(tokens[0]?.length ?? 0) - 1];
  const parts: (Logits & { places: readonly number[] })[] = [];
  for (const [row, own] of state.rows.entries()) {
    own.adapters = adaptersOfRow(state.adapters, row);
    const kept = (tokens[row] ?? []).map((_, place) => options.attentionMask?.[row]?.[place] ?? 1);
    const real = (tokens[row] ?? []).filter((_, place) => kept[place] === 1);
    // Places before 0 are virtual tokens, which are there in a row's first run alone.
    const before = kept.map((_, place) => kept.slice(0, place).filter((each) => each === 1).length);
    const places = wanted.filter((place) => place < 0 || kept[place] === 1);
    if (real.length === 0) {
      parts.push({ data: new Float32Array(0), shape: [1, 0, 0], places: [] });
      continue;
    }
    const logitsRows = places.map((place) => (place < 0 ? place : (before[place] as number)));
    parts.push({ ...(await session.forward(own, [real], { logitsRows })), places });
  }
  return together(parts, wanted);
}

/** A state for each row; what was run together so far is read anew. */
async function statesOf(session: CausalSession, state: DecodingState): Promise<DecodingState[]> {
  const rows: DecodingState[] = [];
  for (const [row, ids] of state.ids.entries()) {
    const prompt = state.prompt?.[row]?.filter((id) => id >= 0);
    const own = session.start(adaptersOfRow(state.adapters, row), 1, prompt ? [prompt] : null);
    const known = ids.filter((id, place) => id >= 0 && state.seen[row]?.[place] === 1);
    if (known.length > 0) await session.forward(own, [known]);
    rows.push(own);
  }
  return rows;
}

/** [rows, …, vocabulary] of every sequence as one; places that are padding have zeros. */
function together(
  parts: readonly (Logits & { places: readonly number[] })[],
  wanted: readonly number[],
): Logits {
  const width = Math.max(...parts.map(({ shape }) => shape[2]));
  const data = new Float32Array(parts.length * wanted.length * width);
  parts.forEach(({ data: own, places }, row) => {
    places.forEach((place, i) => {
      const target = (row * wanted.length + wanted.indexOf(place)) * width;
      data.set(own.subarray(i * width, (i + 1) * width), target);
    });
  });
  return { data, shape: [parts.length, wanted.length, width] };
}

/** What one row of a batch is fed, as a batch of one. */
export function adaptersOfRow(adapters: AdapterInputs, row: number): AdapterInputs {
  const one = <T>(rows: readonly T[]): readonly T[] =>
    rows.length > 1 ? rows.slice(row, row + 1) : rows;
  const { cachePrefix, activation, identity, rows } = adapters;
  const tensors = [...adapters.tensors].map(
    ([name, tensor]) => [name, rows > 1 ? rowOf(tensor, row, rows) : tensor] as const,
  );
  return {
    ...adapters,
    rows: 1,
    tensors: new Map(tensors),
    embeddings: adapters.embeddings.map((embedding) => ({
      ...embedding,
      rowDelta: (id: number) => embedding.rowDelta(id, row),
      ...(embedding.virtualRows && { virtualRows: one(embedding.virtualRows) }),
    })),
    virtualPadding: one(adapters.virtualPadding),
    cachePrefix: cachePrefix && {
      ...cachePrefix,
      padding: one(cachePrefix.padding),
      rows: one(cachePrefix.rows),
    },
    identity: identity && one(identity),
    activation: activation && { ...activation, tokens: one(activation.tokens) },
  };
}

function rowOf(tensor: Tensor, row: number, rows: number): Tensor {
  const [first, ...rest] = tensor.dims;
  if (first !== rows) return tensor;
  const size = tensor.size / rows;
  const data = (tensor.data as Float32Array).subarray(row * size, (row + 1) * size);
  return float32Tensor(data, [1, ...rest]);
}
