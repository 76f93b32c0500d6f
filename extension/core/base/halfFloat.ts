import type { FloatDtype } from "./dtype.ts";

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** fp32 values as little-endian bytes of a stored type, rounded to nearest even as torch rounds. */
export function fromFloat32(values: Float32Array, dtype: FloatDtype): Uint8Array {
  switch (dtype) {
    case "F32":
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    case "F64":
      return new Uint8Array(Float64Array.from(values).buffer);
    case "BF16":
      return new Uint8Array(Uint16Array.from(values, bfloat16Bits).buffer);
    case "F16":
      return new Uint8Array(Uint16Array.from(values, float16Bits).buffer);
    default:
      return dtype satisfies never;
  }
}

function bitsOfFloat(value: number): number {
  float[0] = value;
  return word[0] as number;
}

function bfloat16Bits(value: number): number {
  const bits = bitsOfFloat(value);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  // Half of the dropped part is added, one less when the kept part is even.
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function float16Bits(value: number): number {
  const bits = bitsOfFloat(value);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const mantissa = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (mantissa === 0 ? 0 : 0x200);
  const scaled = exponent - 112;
  if (scaled >= 0x1f) return sign | 0x7c00;
  if (scaled <= 0) {
    if (scaled < -10) return sign;
    return sign | roundShift(mantissa | 0x800000, 14 - scaled);
  }
  // A carry out of the mantissa rightly raises the exponent, up to infinity.
  return sign | (((scaled << 10) + roundShift(mantissa, 13)) & 0x7fff);
}

/** value / 2^shift, rounded to nearest even. */
function roundShift(value: number, shift: number): number {
  const kept = value >>> shift;
  const rest = value & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}
