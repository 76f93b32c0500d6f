import assert from "node:assert/strict";
import { copyFile, readdir, readFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { bitsOf, type Dtype } from "../../../../extension/core/base/dtype.ts";
import { elementCount } from "../../../../extension/core/base/shape.ts";
import { endOfZip, localHeader } from "../../../../extension/core/checkpoint/storedZip.ts";
import { openTorchFile } from "../../../../extension/core/checkpoint/torchFile.ts";
import { namedTypes, storageTypes } from "../../../../extension/core/checkpoint/torchDtypes.ts";
import { writeTorchFile } from "../../../../extension/core/checkpoint/writeTorchFile.ts";
import { readTensors } from "../../../../extension/core/safetensors/read.ts";
import type { TensorData } from "../../../../extension/core/safetensors/write.ts";
import { failure, fixtures, temporaryFolder } from "../support.ts";

const dtypes = [...Object.keys(storageTypes), ...Object.keys(namedTypes)] as Dtype[];

function tensor(name: string, dtype: Dtype, shape: number[]): TensorData {
  const bytes = new Uint8Array((elementCount(shape) * bitsOf(dtype)) / 8).map((_, i) => i % 2);
  return { name, dtype, shape, bytes };
}

test("tensors of every type and shape are read back as they were written", async (t) => {
  const file = path.join(await temporaryFolder(t), "adapter_model.bin");
  const shapes = [[], [0, 4], [3], [2, 3, 5], [1, 1]];
  const tensors = [
    ...dtypes.map((dtype) => tensor(`of ${dtype} – ü`, dtype, [2, 3])),
    ...shapes.map((shape) => tensor(`[${shape.join()}]`, "F32", shape)),
  ];
  await writeTorchFile(file, tensors);
  const opened = await openTorchFile(file);
  const bytes = await readTensors(file, opened.tensors);
  assert.deepEqual(
    opened.tensors.map(({ name, dtype, shape, strides }, i) => ({
      ...{ name, dtype, shape, strides },
      bytes: [...(bytes[i] as Uint8Array)],
    })),
    tensors.map((each) => ({
      ...each,
      strides: undefined,
      bytes: [...(each.bytes as Uint8Array)],
    })),
  );
  for (const { name, offset } of opened.tensors) assert.equal(offset % 64, 0, name);
});

test("what torch wrote is written again with the same tensors", async (t) => {
  const folder = await temporaryFolder(t);
  const source = path.join(folder, "source.bin");
  await copyFile(path.join(fixtures, "adapters/llama/lora_bin/adapter_model.bin"), source);
  const { tensors } = await openTorchFile(source);
  const bytes = await readTensors(source, tensors);
  const again = path.join(folder, "again.bin");
  const own = tensors.map(({ name, dtype, shape }, i) => ({
    ...{ name, dtype, shape },
    bytes: () => Promise.resolve(bytes[i] as Uint8Array),
  }));
  await writeTorchFile(again, own);
  const opened = await openTorchFile(again);
  assert.deepEqual(await readTensors(again, opened.tensors), bytes);
});

const refused: [what: string, tensors: TensorData[], says: string][] = [
  ["two tensors of one name", [tensor("a", "F32", [1]), tensor("a", "F32", [1])], "same name"],
  ["a type that torch has not", [tensor("small", "F4", [2])], '"small", which is F4'],
  ["too few bytes", [{ ...tensor("a", "F32", [2]), bytes: new Uint8Array(4) }], "4 bytes"],
];

for (const [what, tensors, says] of refused) {
  test(`${what}: refused, and nothing is left behind`, async (t) => {
    const folder = await temporaryFolder(t);
    const writing = writeTorchFile(path.join(folder, "adapter_model.bin"), tensors);
    await assert.rejects(writing, (error: Error) => error.message.includes(says));
    assert.deepEqual(await readdir(folder), []);
  });
}

test("a wish to stop is heard between tensors", async (t) => {
  const folder = await temporaryFolder(t);
  const stop = new AbortController();
  const late: TensorData = {
    ...tensor("b", "F32", [1]),
    bytes: () => assert.fail("was made after the wish to stop"),
  };
  const early: TensorData = {
    ...tensor("a", "F32", [1]),
    bytes: () => {
      stop.abort();
      return Promise.resolve(new Uint8Array(4));
    },
  };
  const writing = writeTorchFile(path.join(folder, "x.bin"), [early, late], {
    signal: stop.signal,
  });
  await assert.rejects(writing, failure("cancelled"));
  assert.deepEqual(await readdir(folder), []);
});

test("what 32 bits cannot hold stands in zip64 fields", () => {
  const [size, offset] = [5 * 2 ** 30, 6 * 2 ** 30 + 7];
  const entry = { name: "a/data/0", size, crc: 1, offset };
  const header = localHeader(entry);
  assert.equal((offset + header.length) % 64, 0);
  assert.equal(header.readUInt32LE(18), 0xffff_ffff);
  assert.deepEqual([...header.subarray(38, 42)], [1, 0, 16, 0]);
  assert.equal(header.readBigUInt64LE(42), BigInt(size));
  const end = endOfZip([entry], offset + header.length + size);
  assert.equal(end.readUInt32LE(42), 0xffff_ffff);
  assert.deepEqual([...end.subarray(54, 58)], [1, 0, 24, 0]);
  assert.equal(end.readBigUInt64LE(58 + 16), BigInt(offset));
  const record = end.length - 22 - 20 - 56;
  assert.equal(end.readUInt32LE(record), 0x0606_4b50);
  assert.equal(end.readBigUInt64LE(record + 48), BigInt(offset + header.length + size));
});

test("the same tensors make the same file", async (t) => {
  const folder = await temporaryFolder(t);
  const files = ["a", "b"].map((name) => path.join(folder, name, "adapter_model.bin"));
  for (const file of files) await writeTorchFile(file, [tensor("a", "BF16", [2])]);
  const [one, two] = await Promise.all(files.map((file) => readFile(file)));
  assert.deepEqual(one, two);
});
