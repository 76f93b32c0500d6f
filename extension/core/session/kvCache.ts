/** What a cache must know of its model. */
export interface KvShape {
  readonly layers: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
}

/** In tokens: the smallest capacity, and the least that capacities differ by. */
const smallestStep = 64;

/**
 * Capacity for so many tokens. Every step reads all of it, and every new one has the cache copied: it
 * is at most a quarter more than what is needed.
 */
function capacityFor(tokens: number): number {
  const step = Math.max(smallestStep, 2 ** Math.floor(Math.log2(Math.max(1, tokens - 1))) / 4);
  return Math.ceil(tokens / step) * step;
}

/**
 * Keys and values of past tokens, owned by JavaScript: per layer two tensors
 * [batch, kv heads, capacity, dim]. Rows from `length` on are masked out by whoever reads.
 */
export class KvCache {
  length = 0;
  capacity = 0;
  private keys: Float32Array[];
  private values: Float32Array[];

  constructor(
    private readonly shape: KvShape,
    readonly batch: number,
  ) {
    this.keys = Array.from({ length: shape.layers }, () => new Float32Array(0));
    this.values = Array.from({ length: shape.layers }, () => new Float32Array(0));
  }

  key(layer: number): Float32Array {
    return this.keys[layer] as Float32Array;
  }

  value(layer: number): Float32Array {
    return this.values[layer] as Float32Array;
  }

  /** Appends the rows of a run: [2 · layers, batch, kv heads, seq, dim], all keys first. */
  append(rows: Float32Array, seq: number): void {
    this.reserve(this.length + seq);
    const { layers } = this.shape;
    const stride = rows.length / (2 * layers);
    for (let i = 0; i < 2 * layers; i++) {
      const target = i < layers ? this.key(i) : this.value(i - layers);
      this.copyRows(target, rows.subarray(i * stride, (i + 1) * stride), seq);
    }
    this.length += seq;
  }

  /** The first `count` rows of a batch of one [2 · layers, kv heads, count, dim], all keys first. */
  read(count: number): Float32Array {
    const { keyValueHeads, headDim } = this.shape;
    const size = count * headDim;
    const out = new Float32Array(2 * this.keys.length * keyValueHeads * size);
    [...this.keys, ...this.values].forEach((own, i) => {
      for (let head = 0; head < keyValueHeads; head++) {
        const start = head * this.capacity * headDim;
        out.set(own.subarray(start, start + size), (i * keyValueHeads + head) * size);
      }
    });
    return out;
  }

  /** Forgets the tokens from `length` on: the way back to a shared prefix. */
  truncate(length: number): void {
    this.length = Math.min(this.length, length);
  }

  /** Makes room for so many tokens; what is there stays. */
  private reserve(tokens: number): void {
    if (tokens <= this.capacity) return;
    const capacity = capacityFor(tokens);
    const grow = (old: Float32Array): Float32Array => this.resized(old, capacity);
    this.keys = this.keys.map(grow);
    this.values = this.values.map(grow);
    this.capacity = capacity;
  }

  private resized(old: Float32Array, capacity: number): Float32Array {
    const { keyValueHeads, headDim } = this.shape;
    const grown = new Float32Array(this.batch * keyValueHeads * capacity * headDim);
    for (let head = 0; head < this.batch * keyValueHeads; head++) {
      const start = head * this.capacity * headDim;
      grown.set(old.subarray(start, start + this.length * headDim), head * capacity * headDim);
    }
    return grown;
  }

  private copyRows(target: Float32Array, rows: Float32Array, seq: number): void {
    const { keyValueHeads, headDim } = this.shape;
    const size = seq * headDim;
    for (let head = 0; head < this.batch * keyValueHeads; head++) {
      const start = (head * this.capacity + this.length) * headDim;
      const from = head * size;
      if (seq > 1) target.set(rows.subarray(from, from + size), start);
      // Of one token, making views takes longer than copying.
      else for (let i = 0; i < size; i++) target[start + i] = rows[from + i] as number;
    }
  }
}
