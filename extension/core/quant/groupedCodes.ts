import type { BlockLayout } from "./nBits.ts";
import type { LosslessBlocks } from "./weightSource.ts";

/** Integers of a weight [out, in] whose inputs form groups with a scale and a zero point for each row. */
export interface GroupedCodes {
  readonly out: number;
  readonly in: number;
  /** [out, in] */
  readonly codes: Uint8Array;
  /** [groups, out] */
  readonly scales: Float32Array;
  /** [groups, out] */
  readonly zeros: Uint8Array;
  /** The group of each input. */
  readonly groupOf: ArrayLike<number>;
}

/** scale · (code − zero point), [out, in]. */
export function groupedValues(w: GroupedCodes): Float32Array {
  const { out, in: columns, codes, scales, zeros, groupOf } = w;
  const values = new Float32Array(out * columns);
  for (let row = 0; row < out; row++) {
    for (let column = 0; column < columns; column++) {
      const group = (groupOf[column] as number) * out + row;
      const at = row * columns + column;
      values[at] = (scales[group] as number) * ((codes[at] as number) - (zeros[group] as number));
    }
  }
  return values;
}

/** How groups of inputs become blocks. */
export interface GroupOrder {
  readonly layout: BlockLayout;
  readonly groupSize: number;
  /** Which input each column is for; null where groups lie one after the other already. */
  readonly order: Uint32Array | null;
}

/**
 * Blocks that hold exactly these groups, or null where there are none: groups of another size than
 * `groupSize`, or one that no power of two from 16 on divides. A group of many blocks has its scale
 * repeated.
 */
export function blocksOfGroups(
  groupOf: ArrayLike<number>,
  { groupSize, bits }: { groupSize: number; bits: number },
): GroupOrder | null {
  const columns = groupOf.length;
  const blockSize = [128, 64, 32, 16].find((size) => groupSize % size === 0);
  if (blockSize === undefined) return null;
  const layout = { bits: bits === 8 ? 8 : 4, blockSize, columns } as const;
  const order = Uint32Array.from({ length: columns }, (_, i) => i);
  const isInOrder = order.every((i) => groupOf[i] === Math.floor(i / groupSize));
  if (isInOrder) return { layout, groupSize, order: null };
  order.sort((a, b) => (groupOf[a] as number) - (groupOf[b] as number) || a - b);
  const isWhole = order.every((input, i) => groupOf[input] === Math.floor(i / groupSize));
  return isWhole ? { layout, groupSize, order } : null;
}

/** Groups as blocks for MatMulNBits. @param read the integers; called once for each time it is asked */
export function losslessGroups(
  { layout, groupSize, order }: GroupOrder,
  {
    hasZeroPoints,
    read,
  }: {
    hasZeroPoints: boolean;
    read: (signal?: AbortSignal) => Promise<GroupedCodes>;
  },
): LosslessBlocks {
  return {
    layout,
    hasZeroPoints,
    isSorted: order !== null,
    read: async (signal) => {
      const w = await read(signal);
      const zeroPoints = hasZeroPoints ? packZeros(w, layout, groupSize) : undefined;
      return {
        codes: packCodes(w, layout, order),
        scales: spreadScales(w, layout, groupSize),
        ...(zeroPoints && { zeroPoints }),
        ...(order && { order }),
      };
    },
  };
}

function packCodes(
  { out, in: columns, codes }: GroupedCodes,
  { bits, blockSize }: BlockLayout,
  order: Uint32Array | null,
): Uint8Array {
  const rowBytes = (Math.ceil(columns / blockSize) * blockSize * bits) / 8;
  const packed = new Uint8Array(out * rowBytes).fill(bits === 4 ? 0x88 : 128);
  for (let row = 0; row < out; row++) {
    for (let column = 0; column < columns; column++) {
      const code = codes[row * columns + (order ? (order[column] as number) : column)] as number;
      if (bits === 8) packed[row * rowBytes + column] = code;
      else setHalf(packed, row * rowBytes, { place: column, code });
    }
  }
  return packed;
}

/** Of two codes in a byte the first is the low half. */
function setHalf(
  bytes: Uint8Array,
  start: number,
  { place, code }: { place: number; code: number },
): void {
  const at = start + (place >> 1);
  const old = bytes[at] as number;
  bytes[at] = (place & 1) === 0 ? (old & 0xf0) | code : (old & 15) | (code << 4);
}

function spreadScales(
  { out, in: columns, scales }: GroupedCodes,
  { blockSize }: BlockLayout,
  groupSize: number,
): Float32Array {
  const blocks = Math.ceil(columns / blockSize);
  const spread = new Float32Array(out * blocks);
  for (let row = 0; row < out; row++) {
    for (let block = 0; block < blocks; block++) {
      const group = Math.floor((block * blockSize) / groupSize);
      spread[row * blocks + block] = scales[group * out + row] as number;
    }
  }
  return spread;
}

function packZeros(
  { out, in: columns, zeros }: GroupedCodes,
  { bits, blockSize }: BlockLayout,
  groupSize: number,
): Uint8Array {
  const blocks = Math.ceil(columns / blockSize);
  const rowBytes = Math.ceil((blocks * bits) / 8);
  const packed = new Uint8Array(out * rowBytes);
  for (let row = 0; row < out; row++) {
    for (let block = 0; block < blocks; block++) {
      const group = Math.floor((block * blockSize) / groupSize);
      const code = zeros[group * out + row] as number;
      if (bits === 8) packed[row * rowBytes + block] = code;
      else setHalf(packed, row * rowBytes, { place: block, code });
    }
  }
  return packed;
}
