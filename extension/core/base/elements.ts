import { bitsOf, type Dtype, toFloat32 } from "./dtype.ts";

/** Whether each element has bytes of its own; F4 and F6 pack several into a byte. */
export function hasWholeBytes(dtype: Dtype): boolean {
  return bitsOf(dtype) >= 8;
}

/** Types whose values are whole numbers, for histograms that give each its own bar. */
export function isWhole(dtype: Dtype): boolean {
  return /^([IU]\d+|BOOL)$/.test(dtype);
}

/**
 * Little-endian elements of any type as numbers. Complex ones are given by their absolute value;
 * 64-bit integers beyond 2^53 are rounded to the nearest number that a double has.
 */
export function toNumbers(bytes: Uint8Array, dtype: Dtype): ArrayLike<number> {
  const {
    buffer,
    byteOffset: at,
    byteLength,
  } = bytes.byteOffset % 8 === 0 ? bytes : Uint8Array.from(bytes);
  const length = Math.floor(byteLength / (bitsOf(dtype) / 8));
  switch (dtype) {
    case "BOOL":
      return bytes.map((byte) => (byte === 0 ? 0 : 1));
    case "U8":
      return bytes;
    case "I8":
      return new Int8Array(buffer, at, length);
    case "I16":
      return new Int16Array(buffer, at, length);
    case "U16":
      return new Uint16Array(buffer, at, length);
    case "I32":
      return new Int32Array(buffer, at, length);
    case "U32":
      return new Uint32Array(buffer, at, length);
    case "I64":
    case "U64":
      return longs(new Uint32Array(buffer, at, 2 * length), dtype === "I64");
    case "F64":
      return new Float64Array(buffer, at, length);
    case "C64":
      return sizes(new Float32Array(buffer, at, 2 * length));
    case "F8_E8M0":
      return Float64Array.from(bytes, (byte) => (byte === 255 ? NaN : 2 ** (byte - 127)));
    case "F8_E4M3FNUZ":
      return Float64Array.from(bytes, (byte) => smallFloat(byte, { mantissa: 3, bias: 8 }));
    case "F8_E5M2FNUZ":
      return Float64Array.from(bytes, (byte) => smallFloat(byte, { mantissa: 2, bias: 16 }));
    case "F4":
    case "F6_E2M3":
    case "F6_E3M2":
      return new Float64Array(0);
    default:
      return toFloat32(bytes, dtype);
  }
}

/** The upper word times 2^32 is exact in a double, so adding the lower one rounds once. */
function longs(words: Uint32Array, isSigned: boolean): Float64Array {
  return Float64Array.from({ length: words.length / 2 }, (_, i) => {
    const upper = words[2 * i + 1] as number;
    return (isSigned ? upper | 0 : upper) * 2 ** 32 + (words[2 * i] as number);
  });
}

function sizes(parts: Float32Array): Float64Array {
  return Float64Array.from({ length: parts.length / 2 }, (_, i) =>
    Math.hypot(parts[2 * i] as number, parts[2 * i + 1] as number),
  );
}

/** The FNUZ types: no infinity, no negative zero, whose pattern is NaN (https://arxiv.org/abs/2206.02915). */
function smallFloat(byte: number, { mantissa, bias }: { mantissa: number; bias: number }): number {
  if (byte === 0x80) return NaN;
  const exponent = (byte & 0x7f) >> mantissa;
  const fraction = (byte & ((1 << mantissa) - 1)) / (1 << mantissa);
  const size =
    exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
  return byte & 0x80 ? -size : size;
}
