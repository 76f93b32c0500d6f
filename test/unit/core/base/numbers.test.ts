import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bitsOf,
  dtypeLabel,
  dtypes,
  type FloatDtype,
  isDtype,
  toFloat32,
} from "../../../../extension/core/base/dtype.ts";
import { freshSeed, seededRandom } from "../../../../extension/core/base/random.ts";

/** Bit patterns and the numbers that IEEE 754 gives them. */
const patterns: Record<"F16" | "BF16", [bits: number, value: number][]> = {
  F16: [
    [0x0000, 0],
    [0x8000, -0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x0001, 2 ** -24],
    [0x8001, -(2 ** -24)],
    [0x0200, 2 ** -15],
    [0x03ff, 1023 * 2 ** -24],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
    [0x7e00, NaN],
    [0xfc01, NaN],
  ],
  BF16: [
    [0x0000, 0],
    [0x8000, -0],
    [0x3f80, 1],
    [0xc000, -2],
    [0x3eab, 0.333984375],
    [0x7f7f, 255 * 2 ** 120],
    [0x0001, 2 ** -133],
    [0x7f80, Infinity],
    [0xff80, -Infinity],
    [0x7fc0, NaN],
  ],
};

for (const [dtype, rows] of Object.entries(patterns) as [FloatDtype, [number, number][]][]) {
  test(`${dtype} becomes the fp32 of the same value`, () => {
    const bits = Uint16Array.from(rows, ([pattern]) => pattern);
    const values = toFloat32(new Uint8Array(bits.buffer), dtype);
    assert.deepEqual(
      [...values],
      rows.map(([, value]) => value),
    );
  });
}

test("every finite F16 agrees with sign · 2^e · (1 + m / 1024)", () => {
  const all = Uint16Array.from({ length: 0x7c00 }, (_, i) => i);
  const values = toFloat32(new Uint8Array(all.buffer), "F16");
  values.forEach((value, i) => {
    const [exponent, mantissa] = [i >> 10, i & 0x3ff];
    const expected =
      exponent === 0 ? mantissa * 2 ** -24 : 2 ** (exponent - 15) * (1 + mantissa / 1024);
    assert.equal(value, expected);
  });
});

test("F64 is rounded to fp32", () => {
  const doubles = Float64Array.of(0.1, -1e300, 1e-300);
  const values = toFloat32(new Uint8Array(doubles.buffer), "F64");
  assert.deepEqual([...values], [Math.fround(0.1), -Infinity, 0]);
});

for (const [dtype, bytes] of [
  ["F32", new Uint8Array(Float32Array.of(1.5, -2).buffer)],
  ["F64", new Uint8Array(Float64Array.of(1.5, -2).buffer)],
  ["F16", new Uint8Array(Uint16Array.of(0x3e00, 0xc000).buffer)],
  ["BF16", new Uint8Array(Uint16Array.of(0x3fc0, 0xc000).buffer)],
] as [FloatDtype, Uint8Array][]) {
  test(`${dtype} is read at any byte offset`, () => {
    for (let offset = 0; offset < 9; offset++) {
      const shifted = new Uint8Array(offset + bytes.length);
      shifted.set(bytes, offset);
      assert.deepEqual([...toFloat32(shifted.subarray(offset), dtype)], [1.5, -2]);
    }
  });
}

test("aligned fp32 is wrapped, not copied", () => {
  const bytes = new Uint8Array(8);
  assert.equal(toFloat32(bytes, "F32").buffer, bytes.buffer);
});

test("names of types", () => {
  assert(dtypes.every((dtype) => isDtype(dtype) && bitsOf(dtype) > 0));
  for (const name of ["f32", "F3", "", "toString", "__proto__", 4, null, undefined]) {
    assert.equal(isDtype(name), false, String(name));
  }
  assert.equal(dtypeLabel("BF16"), "bf16");
  assert.equal(dtypeLabel("F32"), "fp32");
  assert.equal(dtypeLabel("F8_E4M3"), "f8_e4m3");
});

function draw(seed: number, count: number): number[] {
  const next = seededRandom(seed);
  return Array.from({ length: count }, next);
}

test("the same seed gives the same numbers, another seed others", () => {
  assert.deepEqual(draw(7, 100), draw(7, 100));
  const seeds = [0, 1, 2, -1, 7, 2 ** 32, 2 ** 32 + 7, 2 ** 53 - 1];
  assert.equal(new Set(seeds.map((seed) => draw(seed, 1)[0])).size, seeds.length);
});

test("numbers are spread evenly over [0, 1)", () => {
  const count = 100_000;
  const bins = new Array<number>(20).fill(0);
  for (const value of draw(1, count)) {
    assert(value >= 0 && value < 1);
    const bin = Math.floor(value * bins.length);
    bins[bin] = (bins[bin] ?? 0) + 1;
  }
  const expected = count / bins.length;
  const chiSquare = bins.reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
  // 19 degrees of freedom: beyond 43.8 in one of a thousand even sources.
  assert(chiSquare < 43.8, `chi² is ${chiSquare}`);
});

test("the first numbers of neighbouring seeds are spread as well", () => {
  const firsts = Array.from({ length: 1000 }, (_, seed) => draw(seed, 1)[0] as number);
  const mean = firsts.reduce((sum, value) => sum + value, 0) / firsts.length;
  assert(Math.abs(mean - 0.5) < 0.04, `mean is ${mean}`);
  assert(Math.min(...firsts) < 0.02 && Math.max(...firsts) > 0.98);
});

test("a fresh seed is one that a user can type again", () => {
  const seed = freshSeed();
  assert(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32);
});

/** Bytes and the values that torch gives them. */
const smallFloats: [dtype: "F8_E4M3" | "F8_E5M2", byte: number, value: number][] = [
  ["F8_E4M3", 0x00, 0],
  ["F8_E4M3", 0x01, 2 ** -9],
  ["F8_E4M3", 0x08, 2 ** -6],
  ["F8_E4M3", 0x38, 1],
  ["F8_E4M3", 0xb9, -1.125],
  ["F8_E4M3", 0x7e, 448],
  ["F8_E4M3", 0x7f, NaN],
  ["F8_E5M2", 0x01, 2 ** -16],
  ["F8_E5M2", 0x3c, 1],
  ["F8_E5M2", 0xbd, -1.25],
  ["F8_E5M2", 0x7b, 57344],
  ["F8_E5M2", 0x7c, Infinity],
  ["F8_E5M2", 0x7e, NaN],
];

for (const [dtype, byte, value] of smallFloats) {
  test(`${dtype} 0x${byte.toString(16)} is ${value}`, () => {
    assert.deepEqual([...toFloat32(Uint8Array.of(byte), dtype)], [value]);
  });
}
