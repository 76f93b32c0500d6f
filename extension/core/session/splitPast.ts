import { elementCount } from "../base/shape.ts";
import type { AttentionMask, CausalModel } from "../models/causalModel.ts";
import { KvCache } from "./kvCache.ts";
import { float32Tensor, int64Tensor, type Tensor } from "./ortSession.ts";
import type { NewTokens, Past } from "./past.ts";
import { lengthOf } from "./restart.ts";
import type { RopeTable } from "./ropeTable.ts";

/** Masked scores; finite, so that a row that sees nothing stays finite as well. */
const masked = -3.4e38;

/** A rotary table and the end of its inputs' names. */
export interface Rope {
  readonly suffix: string;
  readonly table: RopeTable;
}

/**
 * The past of Graft's own graphs: keys and values in buckets that JavaScript owns, of which only new
 * rows come out of a run; masks and rotary tables are inputs too (causalModel.ts).
 */
export class SplitPast implements Past {
  readonly outputs = ["new_kv"];
  private readonly cache: KvCache;
  /** Keys and values as inputs, as long as the cache has this capacity. */
  private past: { readonly capacity: number; readonly feeds: Record<string, Tensor> } | null = null;
  private readonly maskRows = new Map<AttentionMask, Float32Array>();

  constructor(
    private readonly model: CausalModel,
    private readonly ropes: readonly Rope[],
    readonly batch: number,
  ) {
    this.cache = new KvCache(model, batch);
  }

  get length(): number {
    return this.cache.length;
  }

  set length(length: number) {
    this.cache.length = length;
  }

  get capacity(): number {
    return this.cache.capacity;
  }

  truncate(length: number): void {
    this.cache.truncate(length);
  }

  begin(rows: Float32Array, count: number): void {
    this.cache.append(rows, count);
  }

  read(count: number): Float32Array {
    return this.cache.read(count);
  }

  feed(feeds: Record<string, Tensor>, { ids, positions, seen }: NewTokens): void {
    const { cache, batch } = this;
    const seq = ids[0]?.length ?? 0;
    const past = cache.length;
    feeds["input_ids"] = int64Tensor(ids.flat(), [batch, seq]);
    feeds["position_ids"] = int64Tensor(positions.flat(), [batch, seq]);
    const length = lengthOf(positions);
    for (const { suffix, table } of this.ropes) {
      const rope = table.rows(Math.max(past + seq, batch * seq), length);
      feeds[`rope_cos${suffix}`] = float32Tensor(rope.cos, rope.shape);
      feeds[`rope_sin${suffix}`] = float32Tensor(rope.sin, rope.shape);
    }
    this.feedPast(feeds, seq);
    this.feedMasks(feeds, seen, { past, seq, capacity: cache.capacity });
  }

  take(results: Record<string, Tensor>, seq: number): void {
    this.cache.append((results["new_kv"] as Tensor).data as Float32Array, seq);
  }

  private feedPast(feeds: Record<string, Tensor>, seq: number): void {
    const { capacity } = this.cache;
    if (this.past?.capacity !== capacity) this.past = { capacity, feeds: this.pastTensors() };
    Object.assign(feeds, this.past.feeds);
    feeds["kv_sizes"] = int64Tensor([capacity, seq], [2]);
  }

  private pastTensors(): Record<string, Tensor> {
    const { cache } = this;
    const { layers, keyValueHeads, headDim } = this.model;
    const shape = [cache.batch, keyValueHeads, cache.capacity, headDim];
    const tensors: Record<string, Tensor> = {};
    for (let layer = 0; layer < layers; layer++) {
      tensors[`past_key.${layer}`] = float32Tensor(cache.key(layer), shape);
      tensors[`past_value.${layer}`] = float32Tensor(cache.value(layer), shape);
    }
    return tensors;
  }

  private feedMasks(
    feeds: Record<string, Tensor>,
    seen: readonly (readonly number[])[],
    size: MaskSize,
  ): void {
    const { queriesPerKey, masks } = this.model;
    const shape = [seen.length, 1, queriesPerKey * size.seq, size.capacity + size.seq];
    const count = elementCount(shape);
    for (const mask of masks) {
      const known = this.maskRows.get(mask);
      const out = known?.length === count ? known : new Float32Array(count);
      this.maskRows.set(mask, out);
      fillMask(out, seen, { ...size, queriesPerKey, mask });
      feeds[mask.input] = float32Tensor(out, shape);
    }
    if (this.model.hasKeyPositions) feeds["key_positions"] = keyPositions(seen, size);
  }
}

interface MaskSize {
  /** Tokens in the cache. */
  readonly past: number;
  readonly seq: number;
  /** Rows that the cache has room for; those from `past` on are masked. */
  readonly capacity: number;
}

/** [batch, 1, 1, capacity + seq]: how many real tokens stand before a key; 0 for padding. */
function keyPositions(
  seen: readonly (readonly number[])[],
  { past, seq, capacity }: MaskSize,
): Tensor {
  const width = capacity + seq;
  const out = new Float32Array(seen.length * width);
  seen.forEach((row, batch) => {
    let count = 0;
    row.forEach((real, key) => {
      if (real !== 1) return;
      out[batch * width + (key < past ? key : key - past + capacity)] = count++;
    });
  });
  return float32Tensor(out, [seen.length, 1, 1, width]);
}

/** Fills an additive mask [batch, 1, queries per key · seq, capacity + seq]: causal, real keys, in the window. */
function fillMask(
  out: Float32Array,
  seen: readonly (readonly number[])[],
  at: MaskSize & { queriesPerKey: number; mask: AttentionMask },
): void {
  const { past, seq, capacity, queriesPerKey } = at;
  const window = at.mask.window ?? Infinity;
  const width = capacity + seq;
  seen.forEach((row, batch) => {
    const start = batch * queriesPerKey * seq * width;
    for (let query = 0; query < seq; query++) {
      const line = out.subarray(start + query * width, start + (query + 1) * width).fill(masked);
      const position = past + query;
      for (let key = Math.max(0, position - window + 1); key <= position; key++) {
        if (row[key] === 1) line[key < past ? key : key - past + capacity] = 0;
      }
    }
    const block = seq * width;
    for (let copy = 1; copy < queriesPerKey; copy++) {
      out.copyWithin(start + copy * block, start, start + block);
    }
  });
}
