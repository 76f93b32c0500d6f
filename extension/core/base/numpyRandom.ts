/**
 * NumPy's `default_rng(seed)`, number for number: SeedSequence, PCG64 (XSL-RR 128/64) and the
 * `Generator` functions that adapters rely on. Sources: numpy/random/bit_generator.pyx,
 * src/pcg64/pcg64.h, _generator.pyx and src/distributions/distributions.c.
 */

/** `numpy.random.default_rng(seed)`; every call goes on where the last one stopped. */
export interface NumpyGenerator {
  /** The next 64 random bits. */
  bits64(): bigint;
  /** `choice(population, size, replace=False)`: distinct numbers below `population`. */
  choice(population: number, size: number): Int32Array;
  /** `shuffle(values)` of a one-dimensional array, in place. */
  shuffle(values: Int32Array): void;
}

const mask64 = (1n << 64n) - 1n;
const mask128 = (1n << 128n) - 1n;
const multiplier = 0x2360ed051fc65da44385df649fccf645n;

/** A generator with NumPy's seeding of a whole number ≥ 0. */
export function numpyGenerator(seed: number): NumpyGenerator {
  const bits64 = pcg64(seedWords(seed));
  let upper: number | null = null;
  // The lower half of 64 bits first; the upper half is kept for the next call.
  const bits32 = (): number => {
    if (upper !== null) {
      const value = upper;
      upper = null;
      return value;
    }
    const both = bits64();
    upper = Number(both >> 32n);
    return Number(both & 0xffff_ffffn);
  };
  return {
    bits64,
    choice: (population, size) => choice(population, size, bits32),
    shuffle: (values) => {
      for (let i = values.length - 1; i > 0; i--) swap(values, i, interval(bits32, i));
    },
  };
}

/** SeedSequence(seed).generate_state(4, uint64). */
function seedWords(seed: number): bigint[] {
  const entropy = seed < 2 ** 32 ? [seed] : [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
  let constant = 0x43b0_d7e5;
  const hash = (input: number): number => {
    const mixed = input ^ constant;
    constant = Math.imul(constant, 0x931e_8875);
    const value = Math.imul(mixed, constant);
    return value ^ (value >>> 16);
  };
  const pool = Array.from({ length: 4 }, (_, i) => hash(entropy[i] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) {
      if (from === to) continue;
      const other = Math.imul(hash(pool[from] as number), 0x4973_f715);
      const mixed = (Math.imul(pool[to] as number, 0xca01_f9dd) - other) | 0;
      pool[to] = mixed ^ (mixed >>> 16);
    }
  }
  let second = 0x8b51_f9dd;
  const words = Array.from({ length: 8 }, (_, i) => {
    const mixed = (pool[i % 4] as number) ^ second;
    second = Math.imul(second, 0x58f3_8ded);
    const value = Math.imul(mixed, second);
    return BigInt((value ^ (value >>> 16)) >>> 0);
  });
  return [0, 2, 4, 6].map((i) => (words[i] as bigint) | ((words[i + 1] as bigint) << 32n));
}

function pcg64(words: readonly bigint[]): () => bigint {
  const [high, low, sequenceHigh, sequenceLow] = words as [bigint, bigint, bigint, bigint];
  const increment = ((((sequenceHigh << 64n) | sequenceLow) << 1n) | 1n) & mask128;
  let state = (increment + ((high << 64n) | low)) & mask128;
  const step = (): void => {
    state = (state * multiplier + increment) & mask128;
  };
  step();
  return () => {
    step();
    const folded = (state >> 64n) ^ (state & mask64);
    const turn = state >> 122n;
    return ((folded >> turn) | (folded << (64n - turn))) & mask64;
  };
}

/** Lemire's method: uniform among 0 … max, without division in the common case. */
function bounded(bits32: () => number, max: number): number {
  if (max === 0) return 0;
  const count = max + 1;
  // Products of 32 by 32 bits exceed a double: split off the lower half exactly.
  const draw = (): { high: number; low: number } => {
    const bits = bits32();
    const low = Math.imul(bits, count) >>> 0;
    return { high: Number((BigInt(bits) * BigInt(count)) >> 32n), low };
  };
  let { high, low } = draw();
  const threshold = (0xffff_ffff - max) % count;
  while (low < threshold) ({ high, low } = draw());
  return high;
}

/** Masked rejection: uniform among 0 … max. */
function interval(bits32: () => number, max: number): number {
  const mask = 0xffff_ffff >>> Math.clz32(max);
  let value = (bits32() & mask) >>> 0;
  while (value > max) value = (bits32() & mask) >>> 0;
  return value;
}

function choice(population: number, size: number, bits32: () => number): Int32Array {
  if (population > 10_000 && size > Math.floor(population / 50)) {
    const all = Int32Array.from({ length: population }, (_, i) => i);
    const first = Math.max(population - size, 1);
    for (let i = population - 1; i >= first; i--) swap(all, i, bounded(bits32, i));
    return all.slice(population - size);
  }
  // Floyd's algorithm, then a shuffle.
  const taken = new Set<number>();
  const chosen = new Int32Array(size);
  for (let i = 0; i < size; i++) {
    const last = population - size + i;
    const value = bounded(bits32, last);
    chosen[i] = taken.has(value) ? last : value;
    taken.add(chosen[i] as number);
  }
  for (let i = size - 1; i > 0; i--) swap(chosen, i, bounded(bits32, i));
  return chosen;
}

function swap(values: Int32Array, i: number, j: number): void {
  const value = values[i] as number;
  values[i] = values[j] as number;
  values[j] = value;
}
