import { t } from "@vscode/l10n";
import { open } from "node:fs/promises";
import { type FloatDtype, toFloat32 } from "../base/dtype.ts";
import { throwIfAborted, unsupported } from "../base/errors.ts";
import { transposed } from "../base/matrix.ts";
import type { Initializer, OnnxType } from "../onnx/graph.ts";
import type { WeightSource } from "./weightSource.ts";

const floatTypes: Partial<Record<OnnxType, FloatDtype>> = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  float64: "F64",
};

/** Bytes of a constant, from memory or from its file. */
async function tensorBytes(tensor: Initializer, signal?: AbortSignal): Promise<Uint8Array> {
  throwIfAborted(signal);
  const { data } = tensor;
  if (data.kind === "inline") return data.bytes;
  if (data.kind === "encoded")
    throw unsupported(t('the constant "{0}" cannot be read', tensor.name));
  const handle = await open(data.file, "r");
  try {
    const bytes = new Uint8Array(data.byteLength);
    for (let done = 0; done < bytes.length;) {
      const at = data.offset + done;
      const { bytesRead } = await handle.read(bytes, done, bytes.length - done, at);
      if (bytesRead === 0) throw unsupported(t("{0} ended while it was read", data.file));
      done += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}

/** A constant of floating-point numbers as fp32. */
export async function readFloats(tensor: Initializer, signal?: AbortSignal): Promise<Float32Array> {
  const dtype = floatTypes[tensor.type];
  if (!dtype)
    throw unsupported(t('the constant "{0}" is {1}, not a float', tensor.name, tensor.type));
  return toFloat32(await tensorBytes(tensor, signal), dtype);
}

/** Integers of at most 8 bits, one an entry; several share a byte with the low bits first. */
function integers(bytes: Uint8Array, type: OnnxType, count: number): Int16Array {
  const bits = /int2$/.test(type) ? 2 : /int4$/.test(type) ? 4 : 8;
  const isSigned = type.startsWith("int");
  const [each, mask] = [8 / bits, (1 << bits) - 1];
  return Int16Array.from({ length: count }, (_, i) => {
    const byte = bytes[Math.floor(i / each)] as number;
    const value = (byte >> ((i % each) * bits)) & mask;
    return isSigned && value > mask >> 1 ? value - mask - 1 : value;
  });
}

/** A weight that the graph sees as [in, out], as fp32 [out, in]: what a Linear holds. */
export async function readWeight(
  source: WeightSource,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const values = await storedValues(source, signal);
  const [rows, columns] = source.shape;
  // Seen as [in, out] it lies as [in, out] unless the graph turns it.
  return source.isTurned ? values : Float32Array.from(transposed(values, rows, columns));
}

/** A table that the graph sees as [rows, dim], so. */
export async function readTable(source: WeightSource, signal?: AbortSignal): Promise<Float32Array> {
  const values = await storedValues(source, signal);
  const [rows, columns] = source.shape;
  return source.isTurned ? Float32Array.from(transposed(values, rows, columns)) : values;
}

function storedValues(source: WeightSource, signal?: AbortSignal): Promise<Float32Array> {
  switch (source.kind) {
    case "plain":
      return readFloats(source.tensor, signal);
    case "scaled":
      return scaledValues(source, signal);
    case "packed":
      return packedValues(source, signal);
    default:
      return source satisfies never;
  }
}

/** (value − zero) · scale, as DequantizeLinear computes it. */
async function scaledValues(
  source: Extract<WeightSource, { kind: "scaled" }>,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { tensor, scales, zeros, axis, block, shape } = source;
  const [rows, columns] = shape;
  const codes = integers(await tensorBytes(tensor, signal), tensor.type, rows * columns);
  const factors = await readFloats(scales, signal);
  const offsets = zeros
    ? integers(await tensorBytes(zeros, signal), zeros.type, factors.length)
    : null;
  const columnsOfScales = scales.shape.at(-1) ?? 1;
  const place = (row: number, column: number): number => {
    if (factors.length === 1) return 0;
    if (block === 0) return axis === 0 ? row : column;
    return axis === 0
      ? Math.floor(row / block) * columnsOfScales + column
      : row * columnsOfScales + Math.floor(column / block);
  };
  const out = new Float32Array(codes.length);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i++) {
      const at = place(row, column);
      const offset = offsets ? (offsets[at] as number) : 0;
      out[i] = ((codes[i] as number) - offset) * (factors[at] as number);
    }
  }
  return out;
}

/** Rows [N] of blocks along K, as ONNX Runtime's MatMulNBits unpacks them. */
async function packedValues(
  source: Extract<WeightSource, { kind: "packed" }>,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { tensor, scales, zeros, bits, block, shape } = source;
  const [rows, columns] = shape;
  const blocks = Math.ceil(columns / block);
  const type = `uint${bits}` as OnnxType;
  const codes = integers(await tensorBytes(tensor, signal), type, rows * blocks * block);
  const factors = await readFloats(scales, signal);
  const offsets = await zeroPoints(zeros, { rows, blocks, bits }, signal);
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = row * blocks + Math.floor(column / block);
      const code = codes[row * blocks * block + column] as number;
      out[row * columns + column] = (code - (offsets[at] as number)) * (factors[at] as number);
    }
  }
  return out;
}

/** One a block: the middle of the range without any; floats as they are, integers packed row by row. */
async function zeroPoints(
  zeros: Initializer | null,
  { rows, blocks, bits }: { rows: number; blocks: number; bits: number },
  signal?: AbortSignal,
): Promise<ArrayLike<number>> {
  if (!zeros) return new Float32Array(rows * blocks).fill(2 ** (bits - 1));
  if (floatTypes[zeros.type]) return readFloats(zeros, signal);
  const bytes = await tensorBytes(zeros, signal);
  const rowBytes = Math.ceil((blocks * bits) / 8);
  const out = new Int16Array(rows * blocks);
  for (let row = 0; row < rows; row++) {
    const own = bytes.subarray(row * rowBytes, (row + 1) * rowBytes);
    out.set(integers(own, `uint${bits}` as OnnxType, blocks), row * blocks);
  }
  return out;
}
