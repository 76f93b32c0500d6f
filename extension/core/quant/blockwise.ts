/** Numbers in blocks: each block is its largest absolute value times values of a small code. */
export interface Blocks {
  /** Index into the code of every number. */
  readonly indices: Uint8Array;
  /** One a block; the last block may be short. */
  readonly absmax: Float32Array;
}

/** Quantizes by blocks of numbers that lie one after the other, whatever rows they stand in. */
export function quantizeBlocks(
  values: Float32Array,
  code: Float32Array,
  blockSize: number,
): Blocks {
  const indices = new Uint8Array(values.length);
  const absmax = new Float32Array(Math.ceil(values.length / blockSize));
  const nearest = nearestOf(code);
  for (let block = 0; block < absmax.length; block++) {
    const start = block * blockSize;
    const end = Math.min(start + blockSize, values.length);
    let largest = 0;
    for (let i = start; i < end; i++) {
      const size = Math.abs(values[i] as number);
      if (size > largest) largest = size;
    }
    absmax[block] = largest;
    const divisor = largest === 0 ? 1 : largest;
    for (let i = start; i < end; i++) {
      indices[i] = nearest(Math.fround((values[i] as number) / divisor));
    }
  }
  return { indices, absmax };
}

/** The values that codes stand for, in blocks one after the other, as many as indices. */
export function dequantizeBlocks(
  { indices, absmax }: Blocks,
  code: Float32Array,
  blockSize: number,
): Float32Array {
  return Float32Array.from(
    indices,
    (index, i) => (code[index] as number) * (absmax[Math.floor(i / blockSize)] as number),
  );
}

/** Finds the nearest value of a code, by distances in fp32; of two as near the one listed first. */
export function nearestOf(code: Float32Array): (value: number) => number {
  // Of equal values (0 and -0) the first counts.
  const order = [...code.keys()]
    .filter((i) => code.indexOf(code[i] as number) === i)
    .sort((a, b) => (code[a] as number) - (code[b] as number));
  const sorted = Float32Array.from(order, (i) => code[i] as number);
  const last = order.length - 1;
  return (value) => {
    let [low, high] = [0, last];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sorted[middle] as number) < value) low = middle + 1;
      else high = middle;
    }
    const above = order[low] as number;
    if (low === 0) return above;
    const below = order[low - 1] as number;
    const toAbove = Math.abs(Math.fround((code[above] as number) - value));
    const toBelow = Math.abs(Math.fround(value - (code[below] as number)));
    if (toAbove === toBelow) return Math.min(above, below);
    return toAbove < toBelow ? above : below;
  };
}
