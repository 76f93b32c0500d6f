import assert from "node:assert/strict";
import { readFile, truncate, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { GraftError } from "../../../../extension/core/base/errors.ts";
import type { Parameter } from "../../../../extension/core/ortAdapter/format.ts";
import { parseOrtAdapter, readOrtAdapter } from "../../../../extension/core/ortAdapter/read.ts";
import { writeOrtAdapter } from "../../../../extension/core/ortAdapter/write.ts";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { failure, temporaryFolder } from "../support.ts";

const parameters: Parameter[] = [
  { name: "a", dtype: "F32", shape: [2, 3], bytes: new Uint8Array(24).fill(1) },
  { name: "größer.weight", dtype: "F16", shape: [1], bytes: Uint8Array.of(7, 8) },
  { name: "empty", dtype: "I64", shape: [0, 4], bytes: new Uint8Array(0) },
  { name: "scalar", dtype: "U8", shape: [], bytes: Uint8Array.of(9) },
];

void test("what is written is read again, values aligned to 8 bytes", async (t) => {
  const file = path.join(await temporaryFolder(t), "x.onnx_adapter");
  await writeOrtAdapter(file, { adapterVersion: 3, modelVersion: -1, parameters });
  const { parameters: read, ...versions } = await readOrtAdapter(file);
  assert.deepEqual(versions, { adapterVersion: 3, modelVersion: -1 });
  assert.deepEqual(
    read.map(({ bytes, ...rest }) => ({ ...rest, bytes: [...bytes] })),
    parameters.map(({ bytes, ...rest }) => ({ ...rest, bytes: [...bytes] })),
  );
  const whole = parseOrtAdapter(await readFile(file), file);
  const start = (i: number): number => whole.parameters[i]?.bytes.byteOffset ?? 0;
  for (const i of [1, 2, 3]) assert.equal((start(i) - start(0)) % 8, 0);
});

void test("files that are none are refused by name", async (t) => {
  const file = path.join(await temporaryFolder(t), "x.onnx_adapter");
  await assert.rejects(readOrtAdapter(file), failure("not-found", file));
  await writeFile(file, "PK");
  await assert.rejects(readOrtAdapter(file), failure("bad-file", "TORT"));
  await writeOrtAdapter(file, { adapterVersion: 1, modelVersion: 1, parameters });
  const bytes = await readFile(file);
  const version = Buffer.from(bytes);
  version.writeInt32LE(2, 24);
  assert.throws(() => parseOrtAdapter(version, file), failure("unsupported", "version 2"));
  await truncate(file, bytes.length - 1);
  await assert.rejects(readOrtAdapter(file), failure("bad-file", "truncated"));
  const twice = { adapterVersion: 1, modelVersion: 1, parameters: [parameters[0], parameters[0]] };
  await writeOrtAdapter(file, twice as typeof twice & { parameters: Parameter[] });
  await assert.rejects(readOrtAdapter(file), failure("bad-file", "twice"));
});

void test("no broken byte does more than a named error", async (t) => {
  const file = path.join(await temporaryFolder(t), "x.onnx_adapter");
  await writeOrtAdapter(file, { adapterVersion: 1, modelVersion: 1, parameters });
  const bytes = await readFile(file);
  const random = seededRandom(4);
  let refused = 0;
  for (let round = 0; round < 4000; round++) {
    const broken = Buffer.from(bytes);
    for (let i = 0; i < 1 + (round % 3); i++) {
      broken[Math.floor(random() * broken.length)] = Math.floor(random() * 256);
    }
    try {
      parseOrtAdapter(
        broken.subarray(0, round % 5 === 0 ? Math.floor(random() * 200) : undefined),
        file,
      );
    } catch (error) {
      assert(error instanceof GraftError, String(error));
      refused++;
    }
  }
  assert(refused > 1000);
});

void test("parameters that share their bytes ask for no more memory than the file has", async (t) => {
  const file = path.join(await temporaryFolder(t), "x.onnx_adapter");
  const two = ["a", "b"].map((name): Parameter => {
    return { name, dtype: "U8", shape: [4000], bytes: new Uint8Array(4000) };
  });
  await writeOrtAdapter(file, { adapterVersion: 1, modelVersion: 1, parameters: two });
  const bytes = await readFile(file);
  // Both tables' last field is made to lead to the first one's values.
  const tables = [0, 1].map((i) => 44 + 4 * i + bytes.readUInt32LE(44 + 4 * i));
  const [first = 0, second = 0] = tables;
  const data = first + 16 + bytes.readUInt32LE(first + 16);
  bytes.writeUInt32LE(data - second - 16, second + 16);
  assert.throws(
    () => parseOrtAdapter(bytes.subarray(0, data + 4 + 4000), file),
    failure("bad-file", "overlap"),
  );
});
