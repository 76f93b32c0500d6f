import { elementCount, type Shape } from "./shape.ts";

/**
 * Element types as safetensors spells them, smallest first: writers sort tensors by this order,
 * largest type first, as the reference implementation does.
 */
export const dtypes = [
  "BOOL",
  "F4",
  "F6_E2M3",
  "F6_E3M2",
  "U8",
  "I8",
  "F8_E5M2",
  "F8_E4M3",
  "F8_E8M0",
  "F8_E4M3FNUZ",
  "F8_E5M2FNUZ",
  "I16",
  "U16",
  "F16",
  "BF16",
  "I32",
  "U32",
  "F32",
  "C64",
  "F64",
  "I64",
  "U64",
] as const;

export type Dtype = (typeof dtypes)[number];

const bits: Record<Dtype, number> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};

export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && Object.hasOwn(bits, name);
}

export function bitsOf(dtype: Dtype): number {
  return bits[dtype];
}

/** Bytes of a tensor's elements, packed as safetensors packs them. */
export function byteLengthOf({ dtype, shape }: { dtype: Dtype; shape: Shape }): number {
  return (elementCount(shape) * bitsOf(dtype)) / 8;
}

const people: Partial<Record<Dtype, string>> = {
  F32: "fp32",
  F16: "fp16",
  BF16: "bf16",
  F64: "fp64",
  I8: "int8",
  U8: "uint8",
};

/** "BF16" → "bf16": the spelling that people use. */
export function dtypeLabel(dtype: Dtype): string {
  return people[dtype] ?? dtype.toLowerCase();
}

/** The floating-point types that Graft reads and writes. */
export type FloatDtype = "F32" | "F16" | "BF16" | "F64";

export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16" || dtype === "F64";
}

/** The element types that `toFloat32` reads: those, and two that adapters are stored in to save space. */
export type ReadableDtype = FloatDtype | "F8_E4M3" | "F8_E5M2";

export function isReadableDtype(dtype: Dtype): dtype is ReadableDtype {
  return isFloatDtype(dtype) || dtype === "F8_E4M3" || dtype === "F8_E5M2";
}

/** Little-endian tensor bytes as fp32 values; shares memory with `bytes` when they are aligned fp32. */
export function toFloat32(bytes: Uint8Array, dtype: ReadableDtype): Float32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, bitsOf(dtype) / 8);
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case "F64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8));
    case "F16":
      return widen(new Uint16Array(buffer, byteOffset, byteLength / 2), float16Bits);
    case "BF16":
      return widen(new Uint16Array(buffer, byteOffset, byteLength / 2), (half) => half << 16);
    case "F8_E5M2":
      // The upper half of a binary16.
      return widen(bytes, (byte) => float16Bits(byte << 8));
    case "F8_E4M3":
      return Float32Array.from(bytes, (byte) => smallFloats[byte] as number);
    default:
      return dtype satisfies never;
  }
}

/**
 * Values of F8_E4M3 by their bits: 4 of exponent with bias 7, 3 of mantissa, NaN where all seven are
 * set, no infinity (https://arxiv.org/abs/2209.05433).
 */
const smallFloats = Float32Array.from({ length: 256 }, (_, byte) => {
  const [exponent, mantissa] = [(byte >> 3) & 15, byte & 7];
  const sign = byte & 0x80 ? -1 : 1;
  if ((byte & 0x7f) === 0x7f) return NaN;
  return exponent === 0 ? (sign * mantissa) / 512 : sign * (1 + mantissa / 8) * 2 ** (exponent - 7);
});

function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}

function widen(
  halves: Uint16Array | Uint8Array,
  bitsOfFloat32: (half: number) => number,
): Float32Array {
  const out = new Int32Array(halves.length);
  for (let i = 0; i < halves.length; i++) out[i] = bitsOfFloat32(halves[i] as number);
  return new Float32Array(out.buffer);
}

/** IEEE binary16 → binary32 bit pattern, subnormals, infinities and NaN included. */
function float16Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  const shift = Math.clz32(mantissa) - 21;
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}
