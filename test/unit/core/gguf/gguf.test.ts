import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { GraftError } from "../../../../extension/core/base/errors.ts";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { openGguf, parseGguf } from "../../../../extension/core/gguf/read.ts";
import { writeGguf, type WrittenValue } from "../../../../extension/core/gguf/write.ts";
import { readTensors } from "../../../../extension/core/safetensors/read.ts";
import type { TensorData } from "../../../../extension/core/safetensors/write.ts";
import { failure, temporaryFolder } from "../support.ts";

const keys = new Map<string, WrittenValue>([
  ["general.type", { kind: "string", value: "adapter" }],
  ["adapter.lora.alpha", { kind: "float32", value: 0.5 }],
  ["general.file_type", { kind: "uint32", value: 1 }],
  ["tokens", { kind: "uint32s", value: [4, 4_000_000_000] }],
]);
const tensors: TensorData[] = [
  { name: "a", dtype: "F32", shape: [2, 3], bytes: new Uint8Array(24).fill(1) },
  { name: "b", dtype: "F16", shape: [5], bytes: new Uint8Array(10).fill(2) },
];

async function written(t: Parameters<typeof temporaryFolder>[0]): Promise<string> {
  const file = path.join(await temporaryFolder(t), "x.gguf");
  await writeGguf(file, keys, { tensors });
  return file;
}

void test("what is written is read again", async (t) => {
  const file = await written(t);
  const read = await openGguf(file);
  assert.deepEqual([...read.keys.values()], ["adapter", 0.5, 1, [4, 4_000_000_000]]);
  assert.deepEqual(
    read.tensors.map(({ name, dtype, shape }) => [name, dtype, shape]),
    tensors.map(({ name, dtype, shape }) => [name, dtype, shape]),
  );
  assert(read.tensors.every(({ offset }) => offset % 32 === 0));
  const bytes = await readTensors(file, read.tensors);
  assert.deepEqual(
    bytes.map((each) => [...each]),
    tensors.map((each) => [...(each.bytes as Uint8Array)]),
  );
});

void test("broken heads are refused by name", async (t) => {
  const file = await written(t);
  const bytes = await readFile(file);
  const broken = (change: (head: Buffer) => void): (() => void) => {
    const head = Buffer.from(bytes);
    change(head);
    return () => parseGguf(head, { file, size: head.length });
  };
  const cases: [(head: Buffer) => void, ...Parameters<typeof failure>][] = [
    [(head) => head.write("GGML"), "bad-file", "GGUF"],
    [(head) => head.writeUInt32LE(1, 4), "unsupported", "version 1"],
    [(head) => head.writeUInt32BE(3, 4), "unsupported", "little-endian"],
    [(head) => head.writeBigUInt64LE(2n ** 60n, 8), "bad-file", "too large"],
    [(head) => head.writeBigUInt64LE(2_000_000n, 8), "bad-file", "2000000 tensors"],
    [(head) => head.writeBigUInt64LE(900_000n, 16), "bad-file"],
    [(head) => head.writeBigUInt64LE(2n ** 40n, 24), "bad-file", "outside"],
  ];
  for (const [change, ...says] of cases) assert.throws(broken(change), failure(...says));
  const type = bytes.indexOf("b", bytes.indexOf("tokens")) + 1 + 4 + 8;
  const quantized = broken((head) => head.writeUInt32LE(8, type));
  assert.throws(quantized, failure("unsupported", "type 8"));
  assert.throws(() => parseGguf(bytes, { file, size: bytes.length - 60 }), failure("bad-file"));
});

void test("no broken byte does more than a named error", async (t) => {
  const file = await written(t);
  const bytes = await readFile(file);
  const random = seededRandom(7);
  let refused = 0;
  for (let round = 0; round < 4000; round++) {
    const head = Buffer.from(bytes);
    for (let i = 0; i < 1 + (round % 3); i++) {
      head[Math.floor(random() * head.length)] = Math.floor(random() * 256);
    }
    try {
      parseGguf(head.subarray(0, round % 5 === 0 ? Math.floor(random() * 200) : undefined), {
        file,
        size: bytes.length,
      });
    } catch (error) {
      assert(error instanceof GraftError, String(error));
      refused++;
    }
  }
  assert(refused > 1000);
});
