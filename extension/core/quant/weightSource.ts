import { t } from "@vscode/l10n";
import {
  bitsOf,
  type FloatDtype,
  isFloatDtype,
  isReadableDtype,
  type ReadableDtype,
  toFloat32,
} from "../base/dtype.ts";
import { unsupported } from "../base/errors.ts";
import { transposed } from "../base/matrix.ts";
import type { WeightRef } from "../checkpoint/baseCheckpoint.ts";
import { readWeight } from "../checkpoint/readWeight.ts";
import { readTensors } from "../safetensors/read.ts";
import { dequantizeFourBit, type FourBitType, quantizeFourBit } from "./fourBit.ts";
import { dequantizeInt8, quantizeInt8 } from "./int8.ts";
import type { BlockLayout, PackedRows } from "./nBits.ts";

/** Packed rows as another format has them, with the order in which the columns stand. */
export interface LosslessBlocks {
  readonly layout: BlockLayout;
  readonly hasZeroPoints: boolean;
  /** True where columns were sorted: `order` then says which input each one is for. */
  readonly isSorted: boolean;
  read(signal?: AbortSignal): Promise<PackedRows & { order?: Uint32Array }>;
}

/** A linear layer's weight as rows [out, in] in fp32, however it is stored. */
export interface WeightSource {
  readonly out: number;
  readonly in: number;
  /** The type that holds its values. */
  readonly dtype: FloatDtype;
  /** Bytes that reading all of it takes from disk. */
  readonly bytes: number;
  /** Rows [first, end), in any order; a part is asked for once. */
  rows(first: number, end: number, signal?: AbortSignal): Promise<Float32Array>;
  /** Blocks that MatMulNBits runs as they are. */
  readonly lossless?: LosslessBlocks;
}

/** A weight of a floating-point type. @param isTransposed stored [in, out] */
export function plainSource(ref: WeightRef, isTransposed: boolean): WeightSource {
  const { dtype, shape, file, name, byteLength, offset } = ref;
  if (!isReadableDtype(dtype))
    throw unsupported(t('{0}: tensor "{1}" is {2} already', file, name, dtype));
  const [first = 0, second = 0] = shape;
  const common = { dtype: ref.scale ? "F32" : valueType(dtype), bytes: byteLength };
  if (isTransposed) {
    const turned = async (signal?: AbortSignal): Promise<Float32Array> =>
      Float32Array.from(transposed(await readWeight(ref, signal), first, second));
    return { ...common, out: second, in: first, rows: fromWhole(turned, second, first) };
  }
  const size = { out: first, in: second };
  if (ref.strides || ref.scale) {
    return {
      ...common,
      ...size,
      rows: fromWhole((signal) => readWeight(ref, signal), first, second),
    };
  }
  const rowBytes = (second * bitsOf(dtype)) / 8;
  return {
    ...common,
    ...size,
    rows: async (from, to, signal) => {
      const range = {
        name,
        dtype,
        shape: [to - from, second],
        offset: offset + from * rowBytes,
        byteLength: (to - from) * rowBytes,
      };
      return toFloat32((await readTensors(file, [range], signal))[0] as Uint8Array, dtype);
    },
  };
}

/** A type that holds all values of a stored one. */
function valueType(dtype: ReadableDtype): FloatDtype {
  return isFloatDtype(dtype) ? dtype : "BF16";
}

/** Rows of a tensor that can only be read whole: it is kept until its last row was asked for. */
export function fromWhole(
  whole: (signal?: AbortSignal) => Promise<Float32Array>,
  out: number,
  columns: number,
): WeightSource["rows"] {
  let kept: Float32Array | null = null;
  return async (first, end, signal) => {
    kept ??= await whole(signal);
    const rows = kept.subarray(first * columns, end * columns);
    if (end === out) kept = null;
    return rows;
  };
}

/** How bitsandbytes rounds linear layers as a model is loaded. */
export interface Quantization {
  readonly type: FourBitType | "int8";
  /** Keep the scales of 4-bit blocks in 8 bits. */
  readonly doubleQuant: boolean;
}

/** The same weight with the values that bitsandbytes rounds it to, kept in its own type. */
export function roundedSource(source: WeightSource, quantization: Quantization): WeightSource {
  const { out, in: columns, dtype, bytes } = source;
  const whole = async (signal?: AbortSignal): Promise<Float32Array> =>
    roundAsBitsandbytes(await source.rows(0, out, signal), [out, columns], quantization);
  return { out, in: columns, dtype, bytes, rows: fromWhole(whole, out, columns) };
}

function roundAsBitsandbytes(
  values: Float32Array,
  shape: readonly [number, number],
  { type, doubleQuant }: Quantization,
): Float32Array {
  return type === "int8"
    ? dequantizeInt8(quantizeInt8(values, shape[1]))
    : dequantizeFourBit(quantizeFourBit(values, shape, { type, doubleQuant }));
}
