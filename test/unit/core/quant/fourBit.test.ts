import assert from "node:assert/strict";
import { test } from "node:test";
import { nearestOf } from "../../../../extension/core/quant/blockwise.ts";
import { dynamicCode, fp4Code, nf4Code } from "../../../../extension/core/quant/codebooks.ts";
import { dequantizeFourBit, quantizeFourBit } from "../../../../extension/core/quant/fourBit.ts";
import { dequantizeInt8, quantizeInt8 } from "../../../../extension/core/quant/int8.ts";

void test("codes have their sizes and ends", () => {
  const dynamic = dynamicCode();
  assert.equal(dynamic.length, 256);
  assert.equal(dynamic[255], 1);
  assert.ok(dynamic.every((value, i) => i === 0 || value > (dynamic[i - 1] as number)));
  assert.equal(Math.max(...nf4Code), 1);
  assert.equal(Math.max(...fp4Code), 1);
});

void test("of two values as near the one listed first is taken", () => {
  const nearest = nearestOf(Float32Array.of(0, 1, 0.5, -0));
  assert.equal(nearest(0.25), 0);
  assert.equal(nearest(0.75), 1);
  assert.equal(nearest(-0), 0);
  assert.equal(nearest(-9), 0);
  assert.equal(nearest(9), 1);
});

void test("the nearest value is that of a search through all", () => {
  for (const code of [nf4Code, fp4Code, dynamicCode()]) {
    const nearest = nearestOf(code);
    for (let i = -1000; i <= 1000; i++) {
      const value = Math.fround(i / 1000);
      const distances = code.map((each) => Math.abs(each - value));
      assert.equal(nearest(value), distances.indexOf(Math.min(...distances)));
    }
  }
});

void test("the first number of a pair is in the high half, an odd end is padded with 0", () => {
  const { packed } = quantizeFourBit(Float32Array.of(1, -1, 1), [3], { type: "nf4" });
  assert.deepEqual([...packed], [0xf0, 0xf0]);
});

void test("zeros, and blocks of zeros, stay zero", () => {
  for (const doubleQuant of [false, true]) {
    const tensor = quantizeFourBit(new Float32Array(130), [10, 13], { type: "fp4", doubleQuant });
    assert.ok(dequantizeFourBit(tensor).every((value) => value === 0));
  }
  assert.deepEqual([...dequantizeInt8(quantizeInt8(new Float32Array(4), 2))], [0, 0, 0, 0]);
});

void test("blocks go on over the ends of rows", () => {
  const values = Float32Array.of(1, 2, 4, 8, 16, 32);
  const { absmax } = quantizeFourBit(values, [2, 3], { type: "nf4", blockSize: 4 });
  assert.deepEqual([...(absmax as Float32Array)], [8, 32]);
});

void test("int8 rounds halves to even", () => {
  const { codes, absmax } = quantizeInt8(Float32Array.of(127, 0.5, 1.5, -0.5, -1.5, 2.5), 6);
  assert.deepEqual([...codes], [127, 0, 2, 0, -2, 2]);
  assert.deepEqual([...absmax], [127]);
});

void test("an empty tensor has no block", () => {
  const tensor = quantizeFourBit(new Float32Array(0), [0, 4], { type: "nf4" });
  assert.equal(dequantizeFourBit(tensor).length, 0);
});
