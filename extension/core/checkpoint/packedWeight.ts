/** A range of bytes in a file; the path is real, symbolic links resolved. */
export interface FileRange {
  readonly file: string;
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * A linear layer's weight [out, in] in blocks of integers along `in`, as ONNX Runtime's MatMulNBits
 * reads it: w = scale · (code − zero point). The last block of a row is filled up where the block
 * size does not divide `in`.
 */
export interface PackedWeight {
  readonly bits: 4 | 8;
  /** 16, 32, 64, 128 or 256. */
  readonly blockSize: number;
  readonly in: number;
  readonly out: number;
  /** uint8 [out, blocks, blockSize · bits / 8]; of two codes in a byte the first is the low half. */
  readonly codes: FileRange;
  /** float32 [out, blocks] */
  readonly scales: FileRange;
  /** uint8 [out, ⌈blocks · bits / 8⌉], packed as codes are; 2^(bits − 1) everywhere when absent. */
  readonly zeroPoints?: FileRange;
  /** int64 [in]: which input each column is for, where columns were sorted (GPTQ's act-order). */
  readonly order?: FileRange;
  /** 0 computes in fp32; 4 rounds the activations of each block to int8, which is much faster. */
  readonly accuracyLevel: 0 | 1 | 4;
}

/** Blocks of a row. */
export function blocksOf({
  in: inputs,
  blockSize,
}: Pick<PackedWeight, "in" | "blockSize">): number {
  return Math.ceil(inputs / blockSize);
}

/**
 * Several weights as one, rows below one another, or null where they do not lie so in their file
 * or differ in more than their rows.
 */
export function joinPacked(weights: readonly PackedWeight[]): PackedWeight | null {
  const [first] = weights;
  if (!first) return null;
  const isAlike = weights.every(
    (w) =>
      w.bits === first.bits &&
      w.blockSize === first.blockSize &&
      w.in === first.in &&
      w.accuracyLevel === first.accuracyLevel &&
      isSameRange(w.order, first.order),
  );
  const codes = joinRanges(weights.map((w) => w.codes));
  const scales = joinRanges(weights.map((w) => w.scales));
  const zeroPoints = joinRanges(weights.map((w) => w.zeroPoints));
  if (!isAlike || !codes || !scales || zeroPoints === null) return null;
  const out = weights.reduce((sum, w) => sum + w.out, 0);
  const { zeroPoints: _, ...common } = first;
  return { ...common, out, codes, scales, ...(zeroPoints && { zeroPoints }) };
}

function isSameRange(a: FileRange | undefined, b: FileRange | undefined): boolean {
  return a?.file === b?.file && a?.offset === b?.offset;
}

/** One range of ranges that follow one another; undefined when all are, null when they do not. */
function joinRanges(ranges: readonly (FileRange | undefined)[]): FileRange | undefined | null {
  const [first] = ranges;
  if (ranges.every((range) => range === undefined)) return undefined;
  if (!first) return null;
  let end = first.offset;
  for (const range of ranges) {
    if (range?.file !== first.file || range.offset !== end) return null;
    end += range.byteLength;
  }
  return { ...first, byteLength: end - first.offset };
}
