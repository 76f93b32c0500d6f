/** What a set of active adapters puts before the prompt or beside the sequence. */
import { badRequest } from "../../base/errors.ts";
import type { AttentionPrompt, CachePrefix, VirtualTokens } from "../effect.ts";
import type { AttentionShape } from "../method.ts";
import type { ActiveEffects, SlotTensor } from "../slots.ts";

/** Virtual tokens of all active adapters, in their order; null without any. */
export function activeVirtualTokens(
  active: readonly ActiveEffects[],
): { path: string; count: number; rows: Float32Array[] } | null {
  const own = active.flatMap(({ effects: { virtualTokens: tokens }, weight, task = 0 }) =>
    tokens && isPresent(weight) ? [{ tokens, picked: [task].flat() }] : [],
  );
  const [first] = own;
  if (!first) return null;
  const batch = Math.max(...own.map(({ picked }) => picked.length));
  return {
    path: first.tokens.path,
    count: own.reduce((sum, { tokens }) => sum + tokens.count, 0),
    rows: Array.from({ length: batch }, (_, row) =>
      join(own.map(({ tokens, picked }) => taskRows(tokens, picked[row] ?? (picked[0] as number)))),
    ),
  };
}

function taskRows({ tasks }: VirtualTokens, task: number): Float32Array {
  const rows = tasks[task];
  if (rows) return rows;
  throw badRequest(`There is no task ${task}: the adapter has ${tasks.length}, counted from 0.`);
}

/** Keys and values of all active adapters, [2 · layers, kv heads, count, dim], keys first. */
export function activeCachePrefix(
  active: readonly ActiveEffects[],
  { layers, keyValueHeads, headDim }: AttentionShape,
): { count: number; rows: Float32Array } | null {
  const own = active.flatMap(({ effects: { cachePrefix: prefix }, weight }) =>
    prefix && isPresent(weight) ? [prefix] : [],
  );
  if (own.length === 0) return null;
  const blocks: Float32Array[] = [];
  for (const part of ["keys", "values"] as const) {
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < keyValueHeads; head++) {
        for (const prefix of own)
          blocks.push(headRows(prefix[part][layer], { prefix, head, headDim }));
      }
    }
  }
  return { count: own.reduce((sum, { count }) => sum + count, 0), rows: join(blocks) };
}

function headRows(
  layer: Float32Array | undefined,
  { prefix, head, headDim }: { prefix: CachePrefix; head: number; headDim: number },
): Float32Array {
  const size = prefix.count * headDim;
  return (layer as Float32Array).subarray(head * size, (head + 1) * size);
}

/** The tensors of attention slots; one key with the value zero where no adapter has a say. */
export function attentionTensors(
  paths: ReadonlySet<string>,
  active: readonly ActiveEffects[],
  { keyValueHeads, headDim }: AttentionShape,
): SlotTensor[] {
  return [...paths].flatMap((path) => {
    const own = active.filter(
      ({ effects, weight }) => weight !== 0 && effects.attention?.has(path),
    );
    if (own.length > 1) {
      throw badRequest("Only one adaption prompt can be active at a time.");
    }
    const prompt = own[0]?.effects.attention?.get(path) ?? nothing(keyValueHeads * headDim);
    const weight = own[0]?.weight ?? 1;
    const values = weight === 1 ? prompt.values : prompt.values.map((value) => value * weight);
    const shape = [1, keyValueHeads, prompt.count, headDim];
    return [
      { name: `${path}.prompt_keys`, shape, data: prompt.keys },
      { name: `${path}.prompt_values`, shape, data: values },
    ];
  });
}

function nothing(size: number): AttentionPrompt {
  return { count: 1, keys: new Float32Array(size), values: new Float32Array(size) };
}

/** Tokens are there or not; nothing is between. */
function isPresent(weight: number): boolean {
  if (weight !== 0 && weight !== 1) {
    throw badRequest(
      `An adapter that puts tokens before the prompt has the weight 0 or 1, not ${weight}.`,
    );
  }
  return weight === 1;
}

function join(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
