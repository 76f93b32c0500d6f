/**
 * What active adapters put before the prompt or beside the sequence, for each row of a batch; one
 * entry in `rows` is for all of them.
 */
import { t } from "@vscode/l10n";
import { badRequest, unsupported } from "../../base/errors.ts";
import type { AttentionPrompt, CachePrefix, VirtualTokens } from "../effect.ts";
import type { AttentionShape } from "../method.ts";
import type { ActiveEffects } from "../activeEffects.ts";
import type { SlotTensor } from "../slots/slotTensors.ts";

/** What stands before the prompt in each row; rows with less have padding in front. */
export interface Before {
  /** Places, the same for all rows. */
  readonly count: number;
  /** Per row, how many of the places are padding; one entry for all rows alike. */
  readonly padding: readonly number[];
  readonly rows: readonly Float32Array[];
}

/** Virtual tokens [count, hidden] of all active adapters, in their order; null without any. */
export function activeVirtualTokens(
  rows: readonly (readonly ActiveEffects[])[],
): (Before & { path: string }) | null {
  const own = rows.map((active) =>
    active.flatMap(({ effects: { virtualTokens: tokens }, weight, task = 0 }) =>
      tokens && isPresent(weight) ? [{ tokens, task: [task].flat()[0] as number }] : [],
    ),
  );
  const first = own.flat()[0]?.tokens;
  if (!first) return null;
  const width = (first.tasks[0] as Float32Array).length / first.count;
  const counts = own.map((each) => each.reduce((sum, { tokens }) => sum + tokens.count, 0));
  const count = Math.max(...counts);
  const padding = counts.map((each) => count - each);
  return {
    path: first.path,
    count,
    padding,
    rows: own.map((each, row) =>
      join([
        new Float32Array((padding[row] as number) * width),
        ...each.map(({ tokens, task }) => taskRows(tokens, task)),
      ]),
    ),
  };
}

function taskRows({ tasks }: VirtualTokens, task: number): Float32Array {
  const rows = tasks[task];
  if (rows) return rows;
  throw badRequest(
    t("There is no task {0}: the adapter has {1}, counted from 0.", task, tasks.length),
  );
}

/** Keys and values of all active adapters, a row [2 · layers, kv heads, count, dim], keys first. */
export function activeCachePrefix(
  rows: readonly (readonly ActiveEffects[])[],
  shape: AttentionShape,
): Before | null {
  const own = rows.map((active) =>
    active.flatMap(({ effects: { cachePrefix: prefix }, weight }) =>
      prefix && isPresent(weight) ? [prefix] : [],
    ),
  );
  const counts = own.map((prefixes) => prefixes.reduce((sum, { count }) => sum + count, 0));
  const count = Math.max(...counts);
  if (count === 0) return null;
  const padding = counts.map((each) => count - each);
  return {
    count,
    padding,
    rows: own.map((prefixes, row) => joinPrefixes(prefixes, padding[row] as number, shape)),
  };
}

function joinPrefixes(
  prefixes: readonly CachePrefix[],
  padding: number,
  { layers, keyValueHeads, headDim }: AttentionShape,
): Float32Array {
  const blocks: Float32Array[] = [];
  for (const part of ["keys", "values"] as const) {
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < keyValueHeads; head++) {
        if (padding > 0) blocks.push(new Float32Array(padding * headDim));
        for (const prefix of prefixes) {
          blocks.push(headRows(prefix[part][layer], { prefix, head, headDim }));
        }
      }
    }
  }
  return join(blocks);
}

function headRows(
  layer: Float32Array | undefined,
  { prefix, head, headDim }: { prefix: CachePrefix; head: number; headDim: number },
): Float32Array {
  const size = prefix.count * headDim;
  return (layer as Float32Array).subarray(head * size, (head + 1) * size);
}

/** The tensors of attention slots; keys with the value zero where no adapter has a say. */
export function attentionTensors(
  paths: ReadonlySet<string>,
  rows: readonly (readonly ActiveEffects[])[],
  { keyValueHeads, headDim }: AttentionShape,
): SlotTensor[] {
  return [...paths].flatMap((path) => {
    const own = rows.map((active) => promptOf(path, active));
    const counts = new Set(own.flatMap((prompt) => prompt?.count ?? []));
    if (counts.size > 1) {
      throw unsupported(t("Rows of a batch cannot have adaption prompts of different lengths"));
    }
    const [count = 1] = counts;
    const prompts = own.map((prompt) => prompt ?? nothing(count, keyValueHeads * headDim));
    const shape = [rows.length, keyValueHeads, count, headDim];
    const [keys, values] = [prompts.map((each) => each.keys), prompts.map((each) => each.values)];
    return [
      { name: `${path}.prompt_keys`, shape, data: join(keys) },
      { name: `${path}.prompt_values`, shape, data: join(values) },
    ];
  });
}

function promptOf(path: string, active: readonly ActiveEffects[]): AttentionPrompt | null {
  const own = active.filter(({ effects, weight }) => weight !== 0 && effects.attention?.has(path));
  if (own.length > 1) throw badRequest(t("Only one adaption prompt can be active at a time."));
  const prompt = own[0]?.effects.attention?.get(path);
  const weight = own[0]?.weight ?? 1;
  if (!prompt || weight === 1) return prompt ?? null;
  return { ...prompt, values: prompt.values.map((value) => value * weight) };
}

function nothing(count: number, size: number): AttentionPrompt {
  return { count, keys: new Float32Array(count * size), values: new Float32Array(count * size) };
}

/** Tokens are there or not; nothing is between. */
function isPresent(weight: number): boolean {
  if (weight !== 0 && weight !== 1) {
    throw badRequest(
      t("An adapter that puts tokens before the prompt has the weight 0 or 1, not {0}.", weight),
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
