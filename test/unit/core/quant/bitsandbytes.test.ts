import assert from "node:assert/strict";
import { test } from "node:test";
import { asGraftError } from "../../../../extension/core/base/errors.ts";
import { readFourBit, type StoredTensor } from "../../../../extension/core/quant/bitsandbytes.ts";
import { dequantizeFourBit, quantizeFourBit } from "../../../../extension/core/quant/fourBit.ts";

const values = Float32Array.from({ length: 130 }, (_, i) => Math.sin(i));
const tensor = quantizeFourBit(values, [10, 13], { type: "nf4" });

function floats(own: Float32Array): StoredTensor {
  return { dtype: "F32", shape: [own.length], bytes: new Uint8Array(own.buffer) };
}

function stored(state: object = {}): Map<string, StoredTensor> {
  const text = JSON.stringify({ quant_type: "nf4", blocksize: 64, shape: [10, 13], ...state });
  const bytes = new TextEncoder().encode(text);
  return new Map<string, StoredTensor>([
    ["w.weight", { dtype: "U8", shape: [65, 1], bytes: tensor.packed }],
    ["w.weight.absmax", floats(tensor.absmax as Float32Array)],
    ["w.weight.quant_map", floats(tensor.code)],
    ["w.weight.quant_state.bitsandbytes__nf4", { dtype: "U8", shape: [bytes.length], bytes }],
  ]);
}

function errorOf(tensors: Map<string, StoredTensor>): string {
  try {
    readFourBit(tensors, "w.weight", "model.safetensors");
  } catch (error) {
    return `${asGraftError(error).code}: ${asGraftError(error).message}`;
  }
  return "";
}

void test("a weight in 4 bits is read with its shape", () => {
  const read = readFourBit(stored(), "w.weight", "model.safetensors");
  assert.deepEqual(read.shape, [10, 13]);
  assert.deepEqual(dequantizeFourBit(read), dequantizeFourBit(tensor));
});

void test("what does not fit together is a bad file, by name", () => {
  const without = stored();
  without.delete("w.weight.absmax");
  assert.match(errorOf(without), /^bad-file: .*"w\.weight\.absmax" is missing/);
  assert.match(errorOf(stored({ shape: [10, 14] })), /^bad-file: .*"w\.weight" has 65 numbers/);
  assert.match(errorOf(stored({ blocksize: 0 })), /^bad-file: .*blocksize/);
  assert.match(errorOf(stored({ quant_type: "nf3" })), /^bad-file: .*quant_type/);
});
