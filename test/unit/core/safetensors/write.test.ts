import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import type { Dtype } from "../../../../extension/core/base/dtype.ts";
import {
  openSafetensors,
  readFloat32,
  readTensors,
} from "../../../../extension/core/safetensors/read.ts";
import { type TensorData, writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { failure, temporaryFolder } from "../support.ts";

function tensor(name: string, dtype: Dtype, shape: number[], bytes: number[]): TensorData {
  return { name, dtype, shape, bytes: Uint8Array.from(bytes) };
}

const mixed = [
  tensor("a", "F16", [2], [0, 62, 0, 64]),
  tensor("cc", "U8", [1], [2]),
  tensor("b", "F32", [1], [0, 0, 128, 63]),
  tensor("e", "F32", [0, 3], []),
  tensor("z", "I64", [], [7, 0, 0, 0, 0, 0, 0, 0]),
  tensor("C", "U8", [1], [1]),
];

test("writes byte for byte what safetensors 0.8 for Python writes", async (t) => {
  const file = path.join(await temporaryFolder(t), "out.safetensors");
  await writeSafetensors(file, mixed, { metadata: { k: "v" } });
  const header =
    '{"__metadata__":{"k":"v"},' +
    '"z":{"dtype":"I64","shape":[],"data_offsets":[0,8]},' +
    '"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},' +
    '"e":{"dtype":"F32","shape":[0,3],"data_offsets":[12,12]},' +
    '"a":{"dtype":"F16","shape":[2],"data_offsets":[12,16]},' +
    '"C":{"dtype":"U8","shape":[1],"data_offsets":[16,17]},' +
    '"cc":{"dtype":"U8","shape":[1],"data_offsets":[17,18]}}       ';
  const data = "\x07\0\0\0\0\0\0\0\0\0\x80?\0>\0@\x01\x02";
  const expected = Buffer.from(`h\x01\0\0\0\0\0\0${header}${data}`, "latin1");
  assert.deepEqual(await readFile(file), expected);
});

test("names are sorted by their UTF-8 bytes, not by UTF-16 units", async (t) => {
  const file = path.join(await temporaryFolder(t), "out.safetensors");
  const names = ["\u{1F600}", "\uFF5E", "z", "é"];
  await writeSafetensors(
    file,
    names.map((name) => tensor(name, "U8", [1], [0])),
  );
  const { tensors } = await openSafetensors(file);
  assert.deepEqual(
    tensors.map(({ name }) => name),
    ["z", "é", "\uFF5E", "\u{1F600}"],
  );
});

test("what is written is read again", async (t) => {
  const file = path.join(await temporaryFolder(t), "out.safetensors");
  const metadata = { format: "pt", 'with "quotes"\n': "\u{1F600}" };
  const written = [...mixed, tensor("__proto__", "BF16", [2, 1], [128, 63, 0, 192])];
  await writeSafetensors(file, written, { metadata });
  const opened = await openSafetensors(file);
  assert.equal(opened.dataStart % 8, 0);
  assert.deepEqual({ ...opened.metadata }, metadata);
  const bytes = await readTensors(file, opened.tensors);
  const read = opened.tensors.map(({ name, dtype, shape }, i) =>
    tensor(name, dtype, [...shape], [...(bytes[i] as Uint8Array)]),
  );
  const byName = (a: TensorData, b: TensorData): number => (a.name < b.name ? -1 : 1);
  assert.deepEqual(read.sort(byName), written.sort(byName));
  const floats = opened.tensors.filter(({ name }) => ["a", "b", "__proto__"].includes(name));
  const values = await readFloat32(file, floats);
  assert.deepEqual([...(values.get("a") ?? [])], [1.5, 2]);
  assert.deepEqual([...(values.get("__proto__") ?? [])], [1, -2]);
});

for (let length = 1; length <= 8; length++) {
  test(`a header with a name of ${length} letters ends at a multiple of 8`, async (t) => {
    const file = path.join(await temporaryFolder(t), "out.safetensors");
    await writeSafetensors(file, [tensor("x".repeat(length), "U8", [1], [9])]);
    assert.equal((await openSafetensors(file)).dataStart % 8, 0);
  });
}

test("refuses what cannot be read again, and leaves nothing behind", async (t) => {
  const folder = await temporaryFolder(t);
  const file = path.join(folder, "out.safetensors");
  const cases: [TensorData[], string][] = [
    [[tensor("a", "F32", [2], [0, 0, 0, 0])], '"a": 4 bytes do not make F32 [2]'],
    [[tensor("a", "F4", [3], [0, 0])], '"a": 2 bytes'],
    [[tensor("a", "U8", [1], [0]), tensor("a", "I8", [1], [0])], 'Two tensors are named "a"'],
  ];
  for (const [tensors, says] of cases) {
    await assert.rejects(writeSafetensors(file, tensors), failure("bad-request", says));
  }
  assert.deepEqual(await readdir(folder), []);
});

test("a write cancelled half way leaves the old file and nothing else", async (t) => {
  const folder = await temporaryFolder(t);
  const file = path.join(folder, "out.safetensors");
  await writeFile(file, "old");
  const { signal } = new AbortController();
  let asked = 0;
  Object.defineProperty(signal, "aborted", { get: () => ++asked > 1 });
  const two = [tensor("a", "U8", [1], [1]), tensor("b", "U8", [1], [2])];
  const writing = writeSafetensors(file, two, { signal });
  await assert.rejects(writing, failure("cancelled"));
  assert.deepEqual(await readdir(folder), ["out.safetensors"]);
  assert.equal(await readFile(file, "utf8"), "old");
});
