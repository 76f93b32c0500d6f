/**
 * Weights in blocks of 4- or 8-bit integers around a zero point in the middle, in the layout of ONNX
 * Runtime's MatMulNBits (checkpoint/packedWeight.ts): w = scale · (code − 2^(bits − 1)).
 *
 * Graft's own rounding. The number m of largest size in a block spans the side of the code that has
 * one step more: scale = −m / 2^(bits − 1). In 4 bits three scales are tried, −m / 8, −m / 8.7 and
 * −m / 9.4; the one whose codes q leave the least squared error is taken, its scale replaced by the
 * best for these codes, Σxq / Σq², and the codes are rounded once more for it. Of normal numbers that
 * leaves 0.097 of their size in blocks of 128, as much as |m| / 7 does in blocks of 32, and 0.082 in
 * blocks of 32; in 8 bits 0.0064 and 0.0053. Sums are in double precision and in order, so the
 * result is the same everywhere.
 */
export interface BlockLayout {
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** Numbers of a row; its last block is filled up with zeros. */
  readonly columns: number;
}

export interface PackedRows {
  /** [rows, blocks, blockSize · bits / 8], the first of two codes in the low half. */
  readonly codes: Uint8Array;
  /** [rows, blocks] */
  readonly scales: Float32Array;
  /** [rows, ⌈blocks · bits / 8⌉]; 2^(bits − 1) everywhere when absent. */
  readonly zeroPoints?: Uint8Array;
}

/** What rounding took: sums of squares of the differences and of the numbers. */
export interface SquaredError {
  readonly error: number;
  readonly total: number;
}

/** Room for packed rows, without zero points. */
export function emptyRows({ bits, blockSize, columns }: BlockLayout, rows: number): PackedRows {
  const blocks = rows * Math.ceil(columns / blockSize);
  return {
    codes: new Uint8Array((blocks * blockSize * bits) / 8),
    scales: new Float32Array(blocks),
  };
}

/**
 * Packs rows of numbers, [rows, columns] one after the other.
 * @param into room for exactly these rows, without zero points
 */
export function packRows(
  values: Float32Array,
  { bits, blockSize, columns }: BlockLayout,
  into: PackedRows,
): SquaredError {
  const { codes, scales } = into;
  const bytes = (blockSize * bits) / 8;
  const sum = { error: 0, total: 0 };
  const packBlock = (bits === 4 ? fourBits : eightBits)(values, codes, sum);
  let at = 0;
  for (let row = 0, block = 0; block < scales.length; row++) {
    const rowEnd = (row + 1) * columns;
    for (let start = row * columns; start < rowEnd; start += blockSize, block++, at += bytes) {
      const end = Math.min(start + blockSize, rowEnd);
      scales[block] = packBlock(start, end, at);
      // What the row does not fill has the code of 0.
      if (end < start + blockSize)
        fillUp(codes, { bits, from: at, count: end - start, to: at + bytes });
    }
  }
  return sum;
}

/** The numbers that packed rows stand for, as the kernel computes with them. [rows, columns] */
export function unpackRows(
  { codes, scales, zeroPoints }: PackedRows,
  { bits, blockSize, columns }: BlockLayout,
): Float32Array {
  const blocks = Math.ceil(columns / blockSize);
  const rows = blocks === 0 ? 0 : scales.length / blocks;
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  const values = new Float32Array(rows * columns);
  const middle = 1 << (bits - 1);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const at = row * blocks + block;
      const zero = zeroPoints ? codeAt(zeroPoints, row * zeroBytes, block, bits) : middle;
      const scale = scales[at] as number;
      const first = (at * blockSize * bits) / 8;
      const start = row * columns + block * blockSize;
      const count = Math.min(blockSize, columns - block * blockSize);
      for (let i = 0; i < count; i++) {
        values[start + i] = (codeAt(codes, first, i, bits) - zero) * scale;
      }
    }
  }
  return values;
}

/** Code i of those that begin at a byte. */
function codeAt(bytes: Uint8Array, first: number, i: number, bits: 4 | 8): number {
  if (bits === 8) return bytes[first + i] as number;
  const pair = bytes[first + (i >> 1)] as number;
  return (i & 1) === 0 ? pair & 15 : pair >> 4;
}

/** Packs the block of values [start, end) to codes from byte `at` on and returns its scale. */
type PackBlock = (start: number, end: number, at: number) => number;

function eightBits(
  values: Float32Array,
  codes: Uint8Array,
  sum: { error: number; total: number },
): PackBlock {
  return (start, end, at) => {
    // A block of zeros has the scale 0, not −0.
    const scale = Math.fround(extreme(values, start, end) / -128) + 0;
    // So small a block is nothing but zeros in fp32's own terms.
    const inverse = scale === 0 ? 0 : 1 / scale;
    let error = 0;
    let total = 0;
    for (let i = start; i < end; i++) {
      const x = values[i] as number;
      const code = (x * inverse + 128.5) | 0;
      const kept = code > 255 ? 255 : code;
      codes[at + i - start] = kept;
      const lost = x - (kept - 128) * scale;
      error += lost * lost;
      total += x * x;
    }
    sum.error += error;
    sum.total += total;
    return scale;
  };
}

function fourBits(
  values: Float32Array,
  codes: Uint8Array,
  sum: { error: number; total: number },
): PackBlock {
  return (start, end, at) => {
    const scale = Math.fround(fourBitScale(values, start, end));
    const inverse = scale === 0 ? 0 : 1 / scale;
    let error = 0;
    let total = 0;
    let low = 0;
    for (let i = start; i < end; i++) {
      const x = values[i] as number;
      const code = fourBitCode(x * inverse);
      const place = i - start;
      if ((place & 1) === 0) low = code;
      else codes[at + (place >> 1)] = low | (code << 4);
      const lost = x - (code - 8) * scale;
      error += lost * lost;
      total += x * x;
    }
    if (((end - start) & 1) === 1) codes[at + ((end - start) >> 1)] = low | (8 << 4);
    sum.error += error;
    sum.total += total;
    return scale;
  };
}

/** Nearest of 0 to 15 to a number in steps, halves away from the side of 0. */
function fourBitCode(steps: number): number {
  const code = (steps + 8.5) | 0;
  return code > 15 ? 15 : code < 0 ? 0 : code;
}

/** The scale that leaves the least error, of those that are tried. */
function fourBitScale(values: Float32Array, start: number, end: number): number {
  const most = extreme(values, start, end);
  if (most === 0) return 0;
  const wide = -8 / most;
  const middle = -8.7 / most;
  const tight = -9.4 / most;
  // Sums of x · q and q² for each scale: (Σxq)² / Σq² is what its codes explain of Σx².
  let xq0 = 0;
  let qq0 = 0;
  let xq1 = 0;
  let qq1 = 0;
  let xq2 = 0;
  let qq2 = 0;
  for (let i = start; i < end; i++) {
    const x = values[i] as number;
    // No step is below −9.4, whose code is 0 when it is cut off.
    const code0 = (x * wide + 8.5) | 0;
    const code1 = (x * middle + 8.5) | 0;
    const code2 = (x * tight + 8.5) | 0;
    const q0 = code0 > 15 ? 7 : code0 - 8;
    const q1 = code1 > 15 ? 7 : code1 - 8;
    const q2 = code2 > 15 ? 7 : code2 - 8;
    xq0 += x * q0;
    qq0 = (qq0 + q0 * q0) | 0;
    xq1 += x * q1;
    qq1 = (qq1 + q1 * q1) | 0;
    xq2 += x * q2;
    qq2 = (qq2 + q2 * q2) | 0;
  }
  // The number of largest size has a code other than 0, so no sum of squares is 0.
  let explained = (xq0 * xq0) / qq0;
  let scale = xq0 / qq0;
  const explained1 = (xq1 * xq1) / qq1;
  if (explained1 > explained) {
    explained = explained1;
    scale = xq1 / qq1;
  }
  return (xq2 * xq2) / qq2 > explained ? xq2 / qq2 : scale;
}

function fillUp(
  codes: Uint8Array,
  at: { bits: 4 | 8; from: number; count: number; to: number },
): void {
  const used = at.from + Math.ceil((at.count * at.bits) / 8);
  codes.fill(at.bits === 4 ? 0x88 : 128, used, at.to);
}

/** The number of largest size, with its sign; 0 where all are 0. */
function extreme(values: Float32Array, start: number, end: number): number {
  let largest = 0;
  let most = 0;
  for (let i = start; i < end; i++) {
    const value = values[i] as number;
    const size = Math.abs(value);
    if (size > largest) {
      largest = size;
      most = value;
    }
  }
  return most;
}
