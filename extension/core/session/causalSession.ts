import { badRequest } from "../base/errors.ts";
import type { AttentionMask, CausalModel } from "../models/causalModel.ts";
import { KvCache } from "./kvCache.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
  type SessionOptions,
  type Tensor,
} from "./ortSession.ts";
import { RopeTable } from "./ropeTable.ts";

/** Masked scores; finite, so that a row that sees nothing stays finite as well. */
const masked = -3.4e38;

/** A named tensor for an input that the layer hook declared. */
export interface AdapterFeed {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** An input that is added to the embedded tokens; filled anew for the tokens of each run. */
export interface EmbeddingFeed {
  readonly name: string;
  /** Size of a row. */
  readonly width: number;
  /** What a token's row gets [width], or null for nothing. */
  rowDelta(id: number): Float32Array | null;
  /**
   * What the places of the virtual tokens get instead [virtual tokens, width], where token 0 stands:
   * one entry a row of the batch, or one for all.
   */
  readonly virtualRows?: readonly Float32Array[];
}

/** What a set of active adapters feeds to a session, made once for the set. */
export interface AdapterInputs {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly embeddings: readonly EmbeddingFeed[];
  /** How many tokens stand before the prompt, given as rows of an embedding slot. */
  readonly virtualTokens: number;
  /** Keys and values before the prompt, [2 · layers, kv heads, count, dim], keys first. */
  readonly cachePrefix: { readonly count: number; readonly rows: Float32Array } | null;
  /** Updates that act on some tokens alone; null where the session has none. */
  readonly activation: ActivationFeed | null;
  /** Tokens that the adapters know; the model's own number when null. */
  readonly vocabulary: number | null;
}

/** Inputs that are 1 from the start of the last place in the prompt where `tokens` stand, else 0. */
export interface ActivationFeed {
  /** Ids in a row; none never act. */
  readonly tokens: readonly number[];
  /** Inputs [batch or 1, seq or 1, 1], of all new tokens or of those whose logits are wanted. */
  readonly inputs: readonly { readonly name: string; readonly of: "tokens" | "logits" }[];
}

/** Wraps adapter tensors for feeding; no copy. */
export function adapterInputs(
  feeds: readonly AdapterFeed[],
  rest: Partial<Omit<AdapterInputs, "tensors">> = {},
): AdapterInputs {
  return {
    embeddings: [],
    virtualTokens: 0,
    cachePrefix: null,
    activation: null,
    vocabulary: null,
    ...rest,
    tensors: new Map(feeds.map(({ name, shape, data }) => [name, float32Tensor(data, shape)])),
  };
}

export interface ForwardOptions {
  /** Per row and token of the new tokens, 1 is real and 0 padding; all real when absent. */
  readonly attentionMask?: readonly Uint8Array[];
  /** Positions (among the new tokens) whose logits are wanted; the last when absent. */
  readonly logitsRows?: readonly number[];
}

export interface Logits {
  /** [batch, rows, vocabulary]. */
  readonly data: Float32Array;
  readonly shape: readonly [number, number, number];
}

/** What a running sequence (or batch of equal length) remembers. */
export interface DecodingState {
  readonly cache: KvCache;
  /** Adapters of this sequence; others take part from the next run on when this is replaced. */
  adapters: AdapterInputs;
  /** Per row, one entry a cached token: 1 is real, 0 padding. */
  readonly seen: number[][];
  /** Per row the cached tokens; -1 for what an adapter put there. */
  readonly ids: number[][];
  /** Per row the whole prompt, where it is read in parts. */
  readonly prompt: readonly (readonly number[])[] | null;
  /** Where the updates of an activation begin to act in each row; Infinity is never. */
  activeFrom: { readonly of: ActivationFeed; readonly rows: readonly number[] } | null;
}

/** Runs a decoder: feeds tokens, keeps keys and values, hands out logits. */
export class CausalSession {
  private readonly rope: RopeTable;
  private readonly feeds: Record<string, Tensor> = {};
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly model: CausalModel,
    private readonly session: OrtSession,
  ) {
    this.rope = new RopeTable(model.inverseFrequencies);
  }

  static async create(model: CausalModel, options?: SessionOptions): Promise<CausalSession> {
    return new CausalSession(model, await OrtSession.create(model.graph, options));
  }

  /** @param prompt per row, for adapters that must know all of a prompt that is read in parts */
  start(
    adapters: AdapterInputs,
    batch = 1,
    prompt: readonly (readonly number[])[] | null = null,
  ): DecodingState {
    const rows = (): number[][] => Array.from({ length: batch }, () => []);
    return {
      adapters,
      cache: new KvCache(this.model, batch),
      seen: rows(),
      ids: rows(),
      prompt,
      activeFrom: null,
    };
  }

  /**
   * Runs new tokens [batch][seq] after those of `state` and remembers them.
   * Positions count real tokens only, as Hugging Face's generate does for padded batches.
   */
  forward(
    state: DecodingState,
    tokens: readonly (readonly number[])[],
    options: ForwardOptions = {},
  ): Promise<Logits> {
    // One run at a time: sequences share the feeds, and ONNX Runtime blocks the thread anyway.
    const run = this.turn.then(() => this.run(state, { tokens, options }));
    this.turn = run.catch(() => undefined);
    return run;
  }

  private async run(
    state: DecodingState,
    request: { tokens: readonly (readonly number[])[]; options: ForwardOptions },
  ): Promise<Logits> {
    const { cache, adapters } = state;
    const virtual = cache.length === 0 ? adapters.virtualTokens : 0;
    const { tokens, options } = virtual > 0 ? prepend(request, virtual) : request;
    if (cache.length === 0 && adapters.cachePrefix) this.fillPrefix(state, adapters.cachePrefix);
    const seq = tokens[0]?.length ?? 0;
    if (tokens.length !== cache.batch || tokens.some((row) => row.length !== seq) || seq === 0) {
      throw badRequest(`Tokens must be ${cache.batch} rows of one length, at least 1.`);
    }
    const past = cache.length;
    this.checkIds(request.tokens, adapters);
    const real = tokens.map((row, i) => row.map((_, j) => options.attentionMask?.[i]?.[j] ?? 1));
    const seen = state.seen.map((row, i) => [...row, ...(real[i] as number[])]);
    this.feedTokens(tokens, seen, past);
    this.feedPast(cache, seq);
    this.feedMasks(seen, { past, seq, capacity: cache.capacity });
    this.feedAdapters(adapters, tokens, virtual);
    const rows = options.logitsRows ?? [seq - 1];
    const ids = request.tokens.map((row) => [...Array<number>(virtual).fill(-1), ...row]);
    if (adapters.activation) this.feedGates(state, adapters.activation, { ids, rows });
    this.feeds["logits_rows"] = int64Tensor(rows, [rows.length]);
    const { logits, new_kv: newRows } = await this.session.run(this.feeds);
    cache.append((newRows as Tensor).data as Float32Array, seq);
    seen.forEach((row, i) => (state.seen[i] = row));
    ids.forEach((row, i) => state.ids[i]?.push(...row));
    const [, , vocabulary = 0] = (logits as Tensor).dims;
    return {
      data: (logits as Tensor).data as Float32Array,
      shape: [cache.batch, rows.length, vocabulary],
    };
  }

  private checkIds(tokens: readonly (readonly number[])[], { vocabulary }: AdapterInputs): void {
    const size = vocabulary ?? this.model.vocabulary;
    const id = tokens.flat().find((each) => !(each >= 0 && each < size));
    if (id !== undefined) throw badRequest(`Token ${id} is not one of the ${size} that there are.`);
  }

  /** Says which of the new tokens `ids` [batch][seq] gated updates change. */
  private feedGates(
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
        return lastStart([...(state.ids[i] as number[]), ...known], activation.tokens);
      });
      state.activeFrom = { of: activation, rows: starts };
    }
    const starts = state.activeFrom.rows;
    const seq = ids[0]?.length ?? 0;
    for (const { name, of } of activation.inputs) {
      const places = of === "logits" ? rows : Array.from({ length: seq }, (_, i) => i);
      const gate = starts.flatMap((start) => places.map((place) => Number(past + place >= start)));
      this.feeds[name] = float32Tensor(Float32Array.from(gate), [starts.length, places.length, 1]);
    }
  }

  /** Puts a trained prefix into an empty cache, the same for every row of the batch. */
  private fillPrefix(
    state: DecodingState,
    { count, rows }: { count: number; rows: Float32Array },
  ): void {
    const { batch } = state.cache;
    const perTensor = rows.length / (2 * this.model.layers);
    const repeated = new Float32Array(rows.length * batch);
    for (let i = 0; i < 2 * this.model.layers; i++) {
      const own = rows.subarray(i * perTensor, (i + 1) * perTensor);
      for (let row = 0; row < batch; row++) repeated.set(own, (i * batch + row) * perTensor);
    }
    state.cache.append(repeated, count);
    for (const row of state.seen) for (let i = 0; i < count; i++) row.push(1);
    for (const row of state.ids) for (let i = 0; i < count; i++) row.push(-1);
  }

  private feedAdapters(
    adapters: AdapterInputs,
    tokens: readonly (readonly number[])[],
    virtual: number,
  ): void {
    for (const [name, tensor] of adapters.tensors) this.feeds[name] = tensor;
    for (const embedding of adapters.embeddings) {
      const data = embeddingDelta(embedding, tokens, virtual);
      const shape =
        data.length === embedding.width
          ? [1, 1, embedding.width]
          : [tokens.length, tokens[0]?.length ?? 0, embedding.width];
      this.feeds[embedding.name] = float32Tensor(data, shape);
    }
  }

  /** Waits for the run that is under way, then frees the session. */
  async dispose(): Promise<void> {
    await this.turn;
    await this.session.dispose();
  }

  private feedTokens(tokens: readonly (readonly number[])[], seen: number[][], past: number): void {
    const seq = (tokens[0] as readonly number[]).length;
    const shape = [tokens.length, seq];
    const positions = seen.map((row) => realPositions(row).slice(past));
    const rope = this.rope.rows(Math.max(past + seq, tokens.length * seq));
    // A token that an adapter added has no row in the base's table; its own is in the embedding slot.
    const ids = tokens.flat().map((id) => (id < this.model.vocabulary ? id : 0));
    this.feeds["input_ids"] = int64Tensor(ids, shape);
    this.feeds["position_ids"] = int64Tensor(positions.flat(), shape);
    this.feeds["rope_cos"] = float32Tensor(rope.cos, rope.shape);
    this.feeds["rope_sin"] = float32Tensor(rope.sin, rope.shape);
  }

  private feedPast(cache: KvCache, seq: number): void {
    const { layers, keyValueHeads, headDim } = this.model;
    const shape = [cache.batch, keyValueHeads, cache.capacity, headDim];
    for (let layer = 0; layer < layers; layer++) {
      this.feeds[`past_key.${layer}`] = float32Tensor(cache.key(layer), shape);
      this.feeds[`past_value.${layer}`] = float32Tensor(cache.value(layer), shape);
    }
    this.feeds["kv_sizes"] = int64Tensor([cache.capacity, seq], [2]);
  }

  private feedMasks(seen: number[][], size: MaskSize): void {
    const queries = this.model.queriesPerKey * size.seq;
    const shape = [seen.length, 1, queries, size.capacity + size.seq];
    for (const mask of this.model.masks) {
      const data = buildMask(seen, { ...size, queriesPerKey: this.model.queriesPerKey, mask });
      this.feeds[mask.input] = float32Tensor(data, shape);
    }
  }
}

/** Puts `count` tokens before every row of a request, all of them real. */
function prepend(
  { tokens, options }: { tokens: readonly (readonly number[])[]; options: ForwardOptions },
  count: number,
): { tokens: number[][]; options: ForwardOptions } {
  const zeros = Array.from({ length: count }, () => 0);
  const ones = zeros.map(() => 1);
  return {
    tokens: tokens.map((row) => [...zeros, ...row]),
    options: {
      attentionMask: options.attentionMask?.map((row) => Uint8Array.from([...ones, ...row])),
      logitsRows: options.logitsRows?.map((row) => row + count),
    },
  };
}

/** [batch, seq, width], or one row of zeros where no token gets anything. */
function embeddingDelta(
  { width, rowDelta, virtualRows }: EmbeddingFeed,
  tokens: readonly (readonly number[])[],
  virtual: number,
): Float32Array {
  const deltas = tokens.flatMap((row, i) => {
    const rows = virtualRows?.[i] ?? virtualRows?.[0];
    return row.map((id, place) =>
      place < virtual && rows ? rows.subarray(place * width, (place + 1) * width) : rowDelta(id),
    );
  });
  if (deltas.every((delta) => delta === null)) return new Float32Array(width);
  const out = new Float32Array(deltas.length * width);
  deltas.forEach((delta, i) => delta && out.set(delta, i * width));
  return out;
}

/** Where `part` stands last in `ids`; Infinity where it does not. */
function lastStart(ids: readonly number[], part: readonly number[]): number {
  if (part.length === 0) return Infinity;
  for (let start = ids.length - part.length; start >= 0; start--) {
    if (part.every((id, i) => ids[start + i] === id)) return start;
  }
  return Infinity;
}

interface MaskSize {
  /** Tokens in the cache. */
  readonly past: number;
  readonly seq: number;
  /** Rows that the cache has room for; those from `past` on are masked. */
  readonly capacity: number;
}

/**
 * Position of each token among the real ones of its row. Padding in front stays at 0; behind it goes
 * on, as in Hugging Face's forward, which methods that average over all tokens see.
 */
function realPositions(row: readonly number[]): number[] {
  let [count, last] = [0, -1];
  return row.map((real) => {
    if (real === 1) return (last = count++);
    return count === 0 ? 0 : ++last;
  });
}

/** Additive mask [batch, 1, queries per key · seq, capacity + seq]: causal, real keys, in the window. */
function buildMask(
  seen: readonly (readonly number[])[],
  at: MaskSize & { queriesPerKey: number; mask: AttentionMask },
): Float32Array {
  const { past, seq, capacity, queriesPerKey } = at;
  const window = at.mask.window ?? Infinity;
  const width = capacity + seq;
  const out = new Float32Array(seen.length * queriesPerKey * seq * width);
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
  return out;
}
