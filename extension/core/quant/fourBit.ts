/**
 * bitsandbytes' 4-bit weights (https://arxiv.org/abs/2305.14314): NF4 or FP4 in blocks, two numbers a
 * byte, the first in the high half. Double quantization keeps the blocks' absolute maxima in 8 bits,
 * again in blocks, around their mean.
 */
import { elementCount, type Shape } from "../base/shape.ts";
import { dequantizeBlocks, quantizeBlocks } from "./blockwise.ts";
import { dynamicCode, fp4Code, nf4Code } from "./codebooks.ts";

export type FourBitType = "nf4" | "fp4";

export interface FourBitOptions {
  readonly type: FourBitType;
  /** 64 when absent. */
  readonly blockSize?: number;
  readonly doubleQuant?: boolean;
}

/** Absolute maxima in 8 bits. */
export interface NestedMaxima {
  readonly indices: Uint8Array;
  readonly absmax: Float32Array;
  readonly code: Float32Array;
  readonly blockSize: number;
  /** The mean, taken off before. */
  readonly offset: number;
}

export interface FourBitTensor {
  readonly code: Float32Array;
  readonly blockSize: number;
  readonly shape: Shape;
  /** [⌈elements / 2⌉]; the last half is 0 where their number is odd. */
  readonly packed: Uint8Array;
  readonly absmax: Float32Array | NestedMaxima;
}

const nestedBlockSize = 256;

export function codeOf(type: FourBitType): Float32Array {
  return type === "nf4" ? nf4Code : fp4Code;
}

/** @param values row-major, of the given shape */
export function quantizeFourBit(
  values: Float32Array,
  shape: Shape,
  { type, blockSize = 64, doubleQuant = false }: FourBitOptions,
): FourBitTensor {
  const code = codeOf(type);
  const { indices, absmax } = quantizeBlocks(values, code, blockSize);
  return {
    code,
    blockSize,
    shape,
    packed: pack(indices),
    absmax: doubleQuant ? nest(absmax) : absmax,
  };
}

/** Row-major fp32, of the tensor's shape. */
export function dequantizeFourBit(tensor: FourBitTensor): Float32Array {
  const { code, blockSize, shape, packed, absmax } = tensor;
  const indices = unpack(packed, elementCount(shape));
  const maxima = absmax instanceof Float32Array ? absmax : unnest(absmax);
  return dequantizeBlocks({ indices, absmax: maxima }, code, blockSize);
}

function pack(indices: Uint8Array): Uint8Array {
  return Uint8Array.from(
    { length: Math.ceil(indices.length / 2) },
    (_, i) => ((indices[2 * i] as number) << 4) | (indices[2 * i + 1] ?? 0),
  );
}

function unpack(packed: Uint8Array, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => {
    const pair = packed[i >> 1] as number;
    return i % 2 === 0 ? pair >> 4 : pair & 15;
  });
}

function nest(absmax: Float32Array): NestedMaxima {
  const code = dynamicCode();
  const offset = Math.fround(pairwiseSum(absmax) / absmax.length);
  const centred = absmax.map((value) => value - offset);
  return {
    ...quantizeBlocks(centred, code, nestedBlockSize),
    code,
    offset,
    blockSize: nestedBlockSize,
  };
}

/** The absolute maxima as they are used, after their own rounding. */
export function unnest({ offset, code, blockSize, ...blocks }: NestedMaxima): Float32Array {
  return dequantizeBlocks(blocks, code, blockSize).map((value) => value + offset);
}

/** A sum in fp32 in NumPy's order: eight partial sums up to 128 numbers, halves above. */
function pairwiseSum(values: Float32Array): number {
  const { length } = values;
  if (length > 128) {
    const half = Math.floor(length / 2);
    const middle = half - (half % 8);
    const [left, right] = [values.subarray(0, middle), values.subarray(middle)];
    return Math.fround(pairwiseSum(left) + pairwiseSum(right));
  }
  if (length < 8) return inTurn(0, values);
  const r = values.slice(0, 8);
  const whole = length - (length % 8);
  for (let i = 8; i < whole; i++) r[i % 8] = (r[i % 8] as number) + (values[i] as number);
  const pairs = [0, 2, 4, 6].map((i) => Math.fround((r[i] as number) + (r[i + 1] as number)));
  const [a, b, c, d] = pairs as [number, number, number, number];
  return inTurn(Math.fround(Math.fround(a + b) + Math.fround(c + d)), values.subarray(whole));
}

function inTurn(start: number, values: Float32Array): number {
  return values.reduce((sum, value) => Math.fround(sum + value), start);
}
