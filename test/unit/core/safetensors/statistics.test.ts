import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { bitsOf, type Dtype, dtypes } from "../../../../extension/core/base/dtype.ts";
import { openSafetensors } from "../../../../extension/core/safetensors/read.ts";
import { tensorStatistics } from "../../../../extension/core/safetensors/statistics.ts";
import { readWindow } from "../../../../extension/core/safetensors/window.ts";
import { failure, temporaryFolder } from "../support.ts";

/** NumPy's figures; truths/make.py makes the same values in the same way. */
interface Truth {
  min: number;
  max: number;
  mean: number;
  std: number;
  norm: number;
  zeros: number;
  nan: number;
  infinite: number;
  counts: number[];
  /** The first two and the last. */
  edges: number[];
  first: (number | string)[];
}

const file = fileURLToPath(new URL("truths/statistics.json", import.meta.url));
const { count, truths } = JSON.parse(await readFile(file, "utf8")) as {
  count: number;
  truths: Partial<Record<Dtype, Truth>>;
};
const folder = await temporaryFolder({ after });

function words(length: number): Uint32Array {
  let x = 1;
  return Uint32Array.from({ length }, () => (x = (Math.imul(x, 1664525) + 1013904223) >>> 0));
}

function reals(length: number): Float64Array {
  const values = Float64Array.from(words(length), (word) => (word / 2 ** 32 - 0.5) * 8);
  const special = { 3: NaN, 30: NaN, 5: Infinity, 50: -Infinity, 500: Infinity, 7: 0, 70: -0 };
  for (const [at, value] of Object.entries(special)) values[Number(at)] = value;
  return values;
}

function bytesOf(dtype: Dtype): Uint8Array {
  if (dtype === "F64") return new Uint8Array(reals(count).buffer);
  if (dtype === "F32") return new Uint8Array(Float32Array.from(reals(count)).buffer);
  if (dtype === "C64") return new Uint8Array(Float32Array.from(reals(2 * count)).buffer);
  const bytes = Uint8Array.from(words((count * bitsOf(dtype)) / 8), (word) => word >>> 24);
  return dtype === "BOOL" ? bytes.map((byte) => byte & 1) : bytes;
}

/** A file of one tensor `w`, behind one byte so that its elements are not aligned. */
async function write(dtype: string, shape: number[], bytes: Uint8Array): Promise<string> {
  const header = JSON.stringify({
    pad: { dtype: "U8", shape: [1], data_offsets: [0, 1] },
    w: { dtype, shape, data_offsets: [1, 1 + bytes.length] },
  });
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  const path_ = path.join(folder, `${dtype}-${shape.join("x")}.safetensors`);
  await writeFile(path_, Buffer.concat([prefix, Buffer.from(header), new Uint8Array(1), bytes]));
  return path_;
}

async function only(file: string): Promise<Parameters<typeof tensorStatistics>[1]> {
  return (await openSafetensors(file)).tensors.find(({ name }) => name === "w") ?? assert.fail();
}

function near(actual: number | null, expected: number, what: string): void {
  const limit = 1e-12 * Math.max(1, Math.abs(expected));
  assert(actual !== null && Math.abs(actual - expected) <= limit, `${what}: ${actual}, NumPy ${expected}`); // prettier-ignore
}

const packed = dtypes.filter((dtype) => bitsOf(dtype) < 8);

test("there are truths for every type that has bytes of its own", () => {
  assert.deepEqual([...Object.keys(truths), ...packed].sort(), [...dtypes].sort());
});

for (const [dtype, truth] of Object.entries(truths) as [Dtype, Truth][]) {
  test(`statistics of ${dtype} are NumPy's`, async () => {
    const file = await write(dtype, [count / 10, 10], bytesOf(dtype));
    const entry = await only(file);
    const found = await tensorStatistics(file, entry);
    assert.equal(found.count, count);
    assert.deepEqual(
      [found.min, found.max, found.zeros, found.nan, found.infinite],
      [truth.min, truth.max, truth.zeros, truth.nan, truth.infinite],
    );
    near(found.mean, truth.mean, "mean");
    near(found.std, truth.std, "std");
    near(found.norm, truth.norm, "norm");
    const { counts, edges } = found.histogram ?? assert.fail("no histogram");
    assert.deepEqual(counts, truth.counts);
    assert.deepEqual([edges[0], edges[1], edges.at(-1)], truth.edges);
  });
}

const words_: Partial<Record<Dtype, (value: number | string) => unknown>> = {
  BOOL: (value) => (value === 0 ? "false" : "true"),
};

for (const [dtype, { first }] of Object.entries(truths) as [Dtype, Truth][]) {
  if (dtype === "C64") continue;
  test(`values of ${dtype} are NumPy's`, async () => {
    const file = await write(dtype, [count / 10, 10], bytesOf(dtype));
    const window = { leading: [], row: 0, rows: 2, column: 0, columns: 8 };
    const [row] = await readWindow(file, await only(file), window);
    const text = { nan: "NaN", inf: "Infinity", "-inf": "-Infinity" } as Record<string, string>;
    const expected = first.map((value) => {
      if (typeof value === "string") return text[value];
      return words_[dtype]?.(value) ?? (Object.is(value, -0) ? "-0" : value);
    });
    // Beyond 2^53 the value is text, and exact where NumPy's was rounded to a double.
    const shown = row?.map((cell) => (/^-?\d{16,}$/.test(String(cell)) ? Number(cell) : cell));
    assert.deepEqual(shown, expected);
  });
}

test("64-bit integers and complex numbers are shown as they are", async () => {
  const longs = BigInt64Array.of(9007199254740993n, -9223372036854775808n, 5n);
  const window = { leading: [], row: 0, rows: 3, column: 0, columns: 1 };
  const long = await write("I64", [3], new Uint8Array(longs.buffer));
  assert.deepEqual(await readWindow(long, await only(long), window), [
    ["9007199254740993"],
    ["-9223372036854775808"],
    [5],
  ]);
  const parts = Float32Array.of(1.5, -2, 0, 0.25, NaN, 0);
  const complex = await write("C64", [3], new Uint8Array(parts.buffer));
  assert.deepEqual(await readWindow(complex, await only(complex), window), [
    ["1.5 − 2i"],
    ["0 + 0.25i"],
    ["NaN + 0i"],
  ]);
});

for (const dtype of packed) {
  test(`${dtype} says that it is not unpacked`, async () => {
    const file = await write(dtype, [8], new Uint8Array(bitsOf(dtype)));
    const entry = await only(file);
    const says = failure("unsupported", "w", dtype, "table");
    await assert.rejects(tensorStatistics(file, entry), says);
    const window = { leading: [], row: 0, rows: 1, column: 0, columns: 1 };
    await assert.rejects(readWindow(file, entry, window), says);
  });
}

test("a tensor of several pieces is read in pieces, says how far it is, and stops when asked", async () => {
  const values = Float32Array.from({ length: 3_000_000 }, (_, i) => Math.sin(i) + 1e4);
  const file = await write("F32", [3000, 1000], new Uint8Array(values.buffer));
  const entry = await only(file);
  const seen: number[] = [];
  const found = await tensorStatistics(file, entry, {
    onProgress: ({ done = 0, total = 0 }) => seen.push(done / total),
  });
  const mean = values.reduce((sum, v) => sum + v / values.length, 0);
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2 / values.length, 0);
  assert(Math.abs((found.mean ?? 0) - mean) < 1e-8, `${found.mean}`);
  // Far from zero the plain formula E[x²] − E[x]² loses seven digits here.
  assert(Math.abs((found.std ?? 0) / Math.sqrt(variance) - 1) < 1e-9, `${found.std}`);
  assert.equal(seen.length, 6);
  assert.equal(seen.at(-1), 1);
  assert.deepEqual(seen, [...seen].sort());
  const stop = new AbortController();
  const work = { signal: stop.signal, onProgress: () => stop.abort() };
  await assert.rejects(tensorStatistics(file, entry, work), failure("cancelled"));
});

test("a window of a tensor with leading axes is the slice that NumPy would give", async () => {
  const shape = [3, 4, 50, 70];
  const values = Float32Array.from({ length: 3 * 4 * 50 * 70 }, (_, i) => i);
  const file = await write("F32", shape, new Uint8Array(values.buffer));
  const entry = await only(file);
  const window = { leading: [2, 1], row: 48, rows: 2, column: 67, columns: 3 };
  const start = ((2 * 4 + 1) * 50 + 48) * 70 + 67;
  assert.deepEqual(await readWindow(file, entry, window), [
    [start, start + 1, start + 2],
    [start + 70, start + 71, start + 72],
  ]);
  for (const wrong of [
    { ...window, rows: 3 },
    { ...window, column: 68 },
    { ...window, leading: [3, 1] },
    { ...window, leading: [2] },
    { ...window, row: -1 },
  ]) {
    await assert.rejects(readWindow(file, entry, wrong), failure("bad-request", "shape"));
  }
});

test("tensors that have nothing finite, or nothing at all, have no figures", async () => {
  const nothing = await write("F32", [0, 4], new Uint8Array(0));
  const empty = await tensorStatistics(nothing, await only(nothing));
  assert.deepEqual([empty.count, empty.min, empty.histogram], [0, null, null]);
  const allNan = await write("F32", [2], new Uint8Array(Float32Array.of(NaN, Infinity).buffer));
  const none = await tensorStatistics(allNan, await only(allNan));
  assert.deepEqual([none.nan, none.infinite, none.mean, none.histogram], [1, 1, null, null]);
  const huge = await write("F64", [2], new Uint8Array(Float64Array.of(-1.7e308, 1.7e308).buffer));
  const wide = await tensorStatistics(huge, await only(huge));
  assert.deepEqual([wide.max, wide.norm, wide.histogram], [1.7e308, null, null]);
});
