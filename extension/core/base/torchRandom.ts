/**
 * PyTorch's CPU generator, number for number: methods that store a seed instead of a matrix rely on
 * it. Sources: ATen core/MT19937RNGEngine.h, core/DistributionsHelper.h, core/TransformationHelper.h
 * and native/cpu/DistributionTemplates.h. Only sin, cos and log may differ, in the last bits.
 */

/** `torch.Generator().manual_seed(seed)`; every call goes on where the last one stopped. */
export interface TorchGenerator {
  /** The next 32 random bits. */
  bits(): number;
  /** `torch.rand`, or `tensor.uniform_(low, high)` in float32. */
  uniform(count: number, low?: number, high?: number): Float32Array;
  /** `tensor.uniform_(low, high)` in bfloat16: float32's numbers, rounded. */
  uniformBfloat16(count: number, low: number, high: number): Float32Array;
  /** `torch.randn` in float32, for a contiguous tensor of `count` values. */
  normal(count: number, mean?: number, deviation?: number): Float32Array;
  /** `torch.randn` in float64. */
  normalDouble(count: number): Float64Array;
  /** `torch.randperm`: 0 … count − 1 in random order; `first` cuts the work to the first ones. */
  permutation(count: number, first?: number): Int32Array;
  /** `torch.bernoulli`: 1 with a probability, else 0. */
  bernoulli(count: number, probability: number): Uint8Array;
}

/** A generator with torch's seeding: the low 32 bits count. */
export function torchGenerator(seed: number): TorchGenerator {
  const bits = mersenneTwister(seed);
  const unit = (): number => (bits() & 0xff_ffff) * 2 ** -24;
  const wideUnit = (): number => doubleUnit(bits);
  const sample = normalSampler(wideUnit);
  return {
    bits,
    uniform: (count, low = 0, high = 1) => {
      const [from, to] = [Math.fround(low), Math.fround(high)];
      const range = Math.fround(to - from);
      return Float32Array.from({ length: count }, () => unit() * range + from);
    },
    uniformBfloat16: (count, low, high) => {
      const [from, to] = [Math.fround(low), Math.fround(high)];
      return Float32Array.from({ length: count }, () => {
        const value = roundToBfloat16(unit() * (to - from) + from);
        // The upper bound is open: a value rounded up to it becomes the lower one.
        return value === roundToBfloat16(to) ? roundToBfloat16(from) : value;
      });
    },
    normal: (count, mean = 0, deviation = 1) =>
      (count < 16
        ? Float32Array.from({ length: count }, sample)
        : boxMuller(Float32Array.from({ length: count }, unit), unit)
      ).map((value) => value * deviation + mean),
    normalDouble: (count) =>
      count < 16
        ? Float64Array.from({ length: count }, sample)
        : boxMuller(Float64Array.from({ length: count }, wideUnit), wideUnit),
    permutation: (count, first = count) =>
      first < count / 8
        ? permutationStart(count, first, bits)
        : permutation(count, bits).slice(0, first),
    bernoulli: (count, probability) =>
      Uint8Array.from({ length: count }, () => (unit() < probability ? 1 : 0)),
  };
}

const single = new Float32Array(1);
const singleBits = new Uint32Array(single.buffer);

/** The nearest bfloat16, ties to even. */
export function roundToBfloat16(value: number): number {
  single[0] = value;
  const own = singleBits[0] as number;
  singleBits[0] = (own + 0x7fff + ((own >>> 16) & 1)) & 0xffff_0000;
  return single[0];
}

/** MT19937 (Matsumoto and Nishimura, 1998): 32 bits a call. */
function mersenneTwister(seed: number): () => number {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) {
    const before = state[i - 1] as number;
    state[i] = Math.imul(1_812_433_253, before ^ (before >>> 30)) + i;
  }
  let next = 624;
  return () => {
    if (next === 624) {
      twist(state);
      next = 0;
    }
    let y = state[next++] as number;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c_5680;
    y ^= (y << 15) & 0xefc6_0000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

function twist(state: Uint32Array): void {
  for (let i = 0; i < 624; i++) {
    const following = state[(i + 1) % 624] as number;
    const mixed = ((state[i] as number) & 0x8000_0000) | (following & 0x7fff_ffff);
    state[i] =
      (state[(i + 397) % 624] as number) ^ (mixed >>> 1) ^ (following & 1 ? 0x9908_b0df : 0);
  }
}

/** Uniform in double precision: the low 53 of 64 bits, of which the first draw is the upper half. */
function doubleUnit(bits: () => number): number {
  const high = bits() & 0x1f_ffff;
  return (high * 2 ** 32 + bits()) * 2 ** -53;
}

/** Fewer than 16 values: pairs in double precision, the second one kept for the next call. */
function normalSampler(unit: () => number): () => number {
  let spare: number | null = null;
  return () => {
    if (spare !== null) {
      const value = spare;
      spare = null;
      return value;
    }
    const angle = 2 * Math.PI * unit();
    const radius = Math.sqrt(-2 * Math.log1p(-unit()));
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

/** 16 and more: blocks of 8 radii and 8 angles; a ragged tail has its last 16 values drawn again. */
function boxMuller<T extends Float32Array | Float64Array>(values: T, unit: () => number): T {
  const count = values.length;
  for (let start = 0; start + 16 <= count; start += 16) transformBlock(values, start);
  if (count % 16 !== 0) {
    for (let i = count - 16; i < count; i++) values[i] = unit();
    transformBlock(values, count - 16);
  }
  return values;
}

/** In the values' own precision after every step, as torch computes it. */
function transformBlock(values: Float32Array | Float64Array, start: number): void {
  const round = values instanceof Float32Array ? Math.fround : (value: number): number => value;
  for (let i = start; i < start + 8; i++) {
    const logarithm = round(Math.log(1 - (values[i] as number)));
    const radius = round(Math.sqrt(-2 * logarithm));
    const angle = round(round(2 * Math.PI) * (values[i + 8] as number));
    values[i] = radius * round(Math.cos(angle));
    values[i + 8] = radius * round(Math.sin(angle));
  }
}

/** Fisher-Yates from the front. */
function permutation(count: number, bits: () => number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = 0; i < count - 1; i++) {
    const j = i + (bits() % (count - i));
    const value = order[i] as number;
    order[i] = order[j] as number;
    order[j] = value;
  }
  return order;
}

/** The first values of a permutation; keeps only the places that were exchanged. */
function permutationStart(count: number, first: number, bits: () => number): Int32Array {
  const moved = new Map<number, number>();
  return Int32Array.from({ length: first }, (_, i) => {
    const j = i + (bits() % (count - i));
    const value = moved.get(j) ?? j;
    moved.set(j, moved.get(i) ?? i);
    return value;
  });
}
