import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import {
  openSafetensors,
  readFloat32,
  readTensors,
} from "../../../../extension/core/safetensors/read.ts";
import { failure, temporaryFolder } from "../support.ts";

const folder = await temporaryFolder({ after });
let count = 0;

/** A file of these bytes: header length, header, data. */
async function write(header: string | Uint8Array, data = 0, length?: bigint): Promise<string> {
  const text = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(text.length));
  const file = path.join(folder, `${count++}.safetensors`);
  const bytes = Uint8Array.from({ length: data }, (_, i) => i + 1);
  await writeFile(file, Buffer.concat([prefix, text, bytes]));
  return file;
}

const entry = (dtype: string, shape: string, offsets: string): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
const one = (dtype: string, shape: string, offsets: string): string =>
  `{"a":${entry(dtype, shape, offsets)}}`;

interface Broken {
  header: string | Uint8Array;
  data?: number;
  length?: bigint;
  says: string;
}

const broken: Broken[] = [
  { header: "{}", length: 0n, says: "header length is 0" },
  { header: "{}", length: 9n, says: "header length 9 exceeds file size 10" },
  { header: "{}", length: 100_000_001n, says: "header length 100000001 is too large" },
  { header: "{}", length: 2n ** 64n - 1n, says: "is too large" },
  { header: Buffer.from('{"a\xff":{}}', "latin1"), says: "not UTF-8" },
  { header: "\uFEFF{}", says: "does not begin with {" },
  { header: " {}", says: "does not begin with {" },
  { header: "[]", says: "does not begin with {" },
  { header: '{"a":', says: "not JSON" },
  { header: "{}\0", says: "not JSON" },
  { header: '{"a":1}', says: 'tensor "a": entry is not an object' },
  { header: '{"a":[]}', says: 'tensor "a": entry is not an object' },
  { header: '{"a":{"shape":[],"data_offsets":[0,1]}}', data: 1, says: "has no dtype" },
  { header: one("F7", "[1]", "[0,1]"), data: 1, says: 'unknown dtype "F7"' },
  { header: one("f32", "[1]", "[0,4]"), data: 4, says: 'unknown dtype "f32"' },
  { header: one("toString", "[1]", "[0,1]"), data: 1, says: "unknown dtype" },
  { header: one("U8", "1", "[0,1]"), data: 1, says: "shape 1 is not a list of sizes" },
  { header: one("U8", "[-1]", "[0,1]"), data: 1, says: "shape [-1]" },
  { header: one("U8", "[0.5]", "[0,1]"), data: 1, says: "shape [0.5]" },
  { header: one("U8", '["1"]', "[0,1]"), data: 1, says: 'shape ["1"]' },
  { header: one("U8", "[1]", "[0]"), data: 1, says: "data_offsets [0] are not two positions" },
  { header: one("U8", "[1]", "[0,1,2]"), data: 1, says: "are not two positions" },
  { header: one("U8", "[1]", "[-1,0]"), data: 1, says: "are not two positions" },
  { header: one("U8", "[1]", "[1,0]"), data: 1, says: "run backwards" },
  { header: one("F32", "[2]", "[0,4]"), data: 4, says: "F32 [2] needs 8 bytes" },
  { header: one("F4", "[3]", "[0,2]"), data: 2, says: "needs 1.5 bytes" },
  { header: one("F32", "[4294967296,4294967296]", "[0,0]"), says: "overflows" },
  { header: one("U8", "[2]", "[0,2]"), data: 1, says: "truncated" },
  { header: one("U8", "[1]", "[0,1]"), data: 2, says: "1 bytes follow the last tensor" },
  { header: "{}", data: 1, says: "1 bytes follow the last tensor" },
  { header: one("U8", "[1]", "[1,2]"), data: 2, says: 'tensor "a" leaves a hole' },
  {
    header: `{"a":${entry("U8", "[2]", "[0,2]")},"b":${entry("U8", "[2]", "[1,3]")}}`,
    data: 3,
    says: 'tensor "b" overlaps',
  },
  {
    header: `{"a":${entry("U8", "[1]", "[0,1]")},"a":${entry("U8", "[1]", "[0,1]")}}`,
    data: 1,
    says: 'names "a" twice',
  },
  {
    header: `{"a":${entry("U8", "[1]", "[0,1]")},"\\u0061":${entry("U8", "[1]", "[0,1]")}}`,
    data: 1,
    says: 'names "a" twice',
  },
  { header: '{"__metadata__":[]}', says: "__metadata__ is not an object" },
  { header: '{"__metadata__":{"step":7}}', says: '__metadata__."step" is not a string' },
];

for (const { header, data, length, says } of broken) {
  const shown = Buffer.from(header).toString("latin1").slice(0, 60);
  test(`refuses ${JSON.stringify(shown)} ${length ?? ""}: ${says}`, async () => {
    const file = await write(header, data, length);
    await assert.rejects(openSafetensors(file), failure("bad-file", file, says));
  });
}

test("refuses a file too short for a header length, and one that is not there", async () => {
  const file = path.join(folder, "short.safetensors");
  await writeFile(file, "{}");
  await assert.rejects(openSafetensors(file), failure("bad-file", file, "has 2 bytes"));
  const none = path.join(folder, "none.safetensors");
  await assert.rejects(openSafetensors(none), failure("not-found", none));
});

type Row = [name: string, dtype: string, shape: number[], offset: number, byteLength: number];

interface Valid {
  what: string;
  header: string;
  data?: number;
  tensors: Row[];
  metadata?: Record<string, string>;
}

const valid: Valid[] = [
  { what: "no tensors", header: "{}", tensors: [] },
  { what: "padding spaces", header: "{}      ", tensors: [] },
  {
    what: "metadata",
    header: '{"__metadata__":{"format":"pt","":"é"}}',
    tensors: [],
    metadata: { format: "pt", "": "é" },
  },
  {
    what: "a scalar",
    header: one("F32", "[]", "[0,4]"),
    data: 4,
    tensors: [["a", "F32", [], 0, 4]],
  },
  {
    what: "tensors of size zero before, between and behind others",
    header: `{"z":${entry("F32", "[0,3]", "[0,0]")},"a":${entry("U8", "[1]", "[0,1]")},"y":${entry("I8", "[2,0]", "[1,1]")},"b":${entry("U8", "[1]", "[1,2]")},"x":${entry("F16", "[0]", "[2,2]")}}`,
    data: 2,
    tensors: [
      ["z", "F32", [0, 3], 0, 0],
      ["a", "U8", [1], 0, 1],
      ["y", "I8", [2, 0], 1, 0],
      ["b", "U8", [1], 1, 1],
      ["x", "F16", [0], 2, 0],
    ],
  },
  {
    what: "names in another order than their data",
    header: `{"a":${entry("U8", "[1]", "[1,2]")},"b":${entry("U8", "[1]", "[0,1]")}}`,
    data: 2,
    tensors: [
      ["a", "U8", [1], 1, 1],
      ["b", "U8", [1], 0, 1],
    ],
  },
  {
    what: "names that mean something to JavaScript",
    header: `{"__proto__":${entry("U8", "[1]", "[0,1]")},"constructor":${entry("U8", "[1]", "[1,2]")},"":${entry("U8", "[1]", "[2,3]")}}`,
    data: 3,
    tensors: [
      ["__proto__", "U8", [1], 0, 1],
      ["constructor", "U8", [1], 1, 1],
      ["", "U8", [1], 2, 1],
    ],
  },
  {
    what: "two 4-bit values in a byte",
    header: one("F4", "[2]", "[0,1]"),
    data: 1,
    tensors: [["a", "F4", [2], 0, 1]],
  },
  {
    what: "fields that the format may get later",
    header: '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"order":"C"}}',
    data: 1,
    tensors: [["a", "U8", [1], 0, 1]],
  },
];

for (const { what, header, data, tensors, metadata = {} } of valid) {
  test(`reads ${what}`, async () => {
    const opened = await openSafetensors(await write(header, data));
    const dataStart = 8 + Buffer.byteLength(header);
    assert.equal(opened.dataStart, dataStart);
    assert.deepEqual(
      opened.tensors.map((t): Row => [
        t.name,
        t.dtype,
        [...t.shape],
        t.offset - dataStart,
        t.byteLength,
      ]),
      tensors,
    );
    assert.deepEqual({ ...opened.metadata }, metadata);
    const bytes = await readTensors(opened.file, opened.tensors);
    const expected = tensors.map(([, , , offset, length]) =>
      Array.from({ length }, (_, i) => offset + i + 1),
    );
    assert.deepEqual(
      bytes.map((each) => [...each]),
      expected,
    ); // the data are 1, 2, 3, …
  });
}

test("readFloat32 refuses integers by name", async () => {
  const file = await write(one("I32", "[1]", "[0,4]"), 4);
  const { tensors } = await openSafetensors(file);
  await assert.rejects(readFloat32(file, tensors), failure("unsupported", file, '"a" is I32'));
});

test("a file that shrank since it was opened is an error, not zeros", async () => {
  const file = await write(one("U8", "[8]", "[0,8]"), 8);
  const { tensors } = await openSafetensors(file);
  await writeFile(file, "short");
  await assert.rejects(readTensors(file, tensors), failure("bad-file", file, "more was promised"));
});

test("reading stops with its signal", async () => {
  const file = await write(one("U8", "[1]", "[0,1]"), 1);
  const { tensors } = await openSafetensors(file);
  await assert.rejects(readTensors(file, tensors, AbortSignal.abort()), failure("cancelled"));
});
