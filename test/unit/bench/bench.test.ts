import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { openGguf } from "../../../extension/core/gguf/read.ts";
import { readTensors } from "../../../extension/core/safetensors/read.ts";
import { encode, ggufName, inPairs, writeTensors } from "../../bench/baseGguf.ts";
import { quantile, shuffled, summarize } from "../../bench/statistics.ts";
import { temporaryFolder } from "../core/support.ts";

void test("quantiles lie between neighbours, as numpy's", () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(quantile([10], 0.75), 10);
  assert.deepEqual(summarize([5, 1, 2, 4, 3]), { count: 5, min: 1, p25: 2, median: 3, p75: 4 });
  assert.deepEqual(
    shuffled([1, 2, 3], () => 0),
    [2, 3, 1],
  );
});

void test("rows of heads are put in pairs as llama.cpp's converter does", () => {
  // Two heads of four rows: halves (0 1 | 2 3) become neighbours 0 2, 1 3.
  const rows = Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7);
  assert.deepEqual([...inPairs(rows, [8, 1], 2)], [0, 2, 1, 3, 4, 6, 5, 7]);
  assert.equal(ggufName("model.layers.3.self_attn.q_proj.bias"), "blk.3.attn_q.bias");
});

void test("blocks are ggml's: a half-float scale, then the numbers", () => {
  const values = Float32Array.from({ length: 32 }, (_, i) => (i - 16) / 16);
  const bytes = encode(values, "q8_0");
  assert.equal(bytes.length, 34);
  // 1/127 as half float, -1 as -127, -15/16 as -119, 0 as 0.
  assert.deepEqual([bytes[0], bytes[1], bytes[2], bytes[3], bytes[18]], [0x08, 0x20, 129, 137, 0]);
  const nibbles = encode(values, "q4_0");
  assert.equal(nibbles.length, 18);
  // -1 is the furthest from 0 and becomes 0 of 0…15, 0 becomes 8; the scale is 1/8.
  assert.deepEqual([nibbles[0], nibbles[1], nibbles[2]], [0x00, 0x30, 0x80]);
});

void test("a file is read as it was written", async (t) => {
  const file = path.join(await temporaryFolder(t), "x.gguf");
  const values = Float32Array.from({ length: 40 }, (_, i) => i);
  const tensor = { name: "a", shape: [5, 8], type: "f32", values: () => Promise.resolve(values) } as const; // prettier-ignore
  const keys = { "general.architecture": "llama", n: { uint32: 7 }, list: { strings: ["x", "y"] } };
  await writeTensors(file, keys, [tensor, { ...tensor, name: "b" }]);
  const read = await openGguf(file);
  assert.deepEqual([...read.keys.values()], ["llama", 7, null]);
  assert.deepEqual(
    read.tensors.map(({ name, shape }) => [name, shape]),
    [
      ["a", [5, 8]],
      ["b", [5, 8]],
    ],
  );
  const [, second] = await readTensors(file, read.tensors);
  assert.deepEqual([...(second ?? [])], [...new Uint8Array(values.buffer)]);
});
