import assert from "node:assert/strict";
import { open, utimes, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { tensorHandlers } from "../../../extension/engine/tensors.ts";
import type { HandlerContext } from "../../../extension/protocol/connection.ts";
import type { TensorRef, TensorTable } from "../../../extension/protocol/tensorContract.ts";
import { failure, temporaryFolder } from "../core/support.ts";

const folder = await temporaryFolder({ after });

function context<E>(): HandlerContext<E> {
  return { emit: () => undefined, signal: new AbortController().signal };
}

function readTable(file: string): Promise<TensorTable> {
  return Promise.resolve(tensorHandlers.tensorTable({ path: file }, context()));
}

interface Spec {
  name: string;
  dtype: string;
  shape: number[];
  bytes: number;
}

/** A file of these tensors, all zeros, that takes no room on disk. */
async function writeSparse(name: string, tensors: readonly Spec[]): Promise<string> {
  let at = 0;
  const entries = tensors.map(({ name: own, dtype, shape, bytes }) => {
    const entry = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
    return [own, entry];
  });
  const header = JSON.stringify({ __metadata__: { format: "pt" }, ...Object.fromEntries(entries) });
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  const file = path.join(folder, name);
  await writeFile(file, Buffer.concat([prefix, Buffer.from(header)]));
  const handle = await open(file, "r+");
  await handle.truncate(8 + Buffer.byteLength(header) + at);
  await handle.close();
  return file;
}

function refTo({ files, tensors }: TensorTable, name: string): TensorRef {
  const { file, ...tensor } = tensors.find((each) => each.name === name) ?? assert.fail(name);
  const { path: own, stamp } = files[file] ?? assert.fail();
  return { path: own, stamp, ...tensor };
}

/** 24 GB: 12,000 experts and one matrix of 4 GB. */
const large = [
  { name: "lm_head.weight", dtype: "BF16", shape: [262_144, 8192], bytes: 2 ** 32 },
  ...Array.from({ length: 12_000 }, (_, i) => ({
    name: `model.layers.${Math.floor(i / 250)}.mlp.experts.${i % 250}.up_proj.weight`,
    dtype: "BF16",
    shape: [768, 1024],
    bytes: 768 * 1024 * 2,
  })),
];

test("a file of many gigabytes and 12,001 tensors opens in under a second with little memory", async () => {
  const file = await writeSparse("large.safetensors", large);
  const before = process.memoryUsage().rss;
  const started = performance.now();
  const table = await readTable(file);
  const ms = performance.now() - started;
  const mb = (process.memoryUsage().rss - before) / 1e6;
  assert.equal(table.tensors.length, 12_001);
  assert((table.files[0]?.bytes ?? 0) > 2.3e10);
  assert(ms < 1000, `${Math.round(ms)} ms`);
  assert(mb < 200, `${Math.round(mb)} MB`);
  const head = refTo(table, "lm_head.weight");
  const window = { leading: [], row: 262_140, rows: 4, column: 8190, columns: 2 };
  const begun = performance.now();
  const values = await tensorHandlers.tensorValues({ tensor: head, window }, context());
  assert.deepEqual(
    values,
    Array.from({ length: 4 }, () => [0, 0]),
  );
  assert(performance.now() - begun < 200, "the last rows of 4 GB");
  assert((process.memoryUsage().rss - before) / 1e6 < 250);
  console.log(`24 GB: table in ${Math.round(ms)} ms, ${Math.round(mb)} MB more`);
});

test("statistics of a matrix are read in pieces and stop when they are asked to", async () => {
  const file = path.join(folder, "large.safetensors");
  const tensor = refTo(await readTable(file), "lm_head.weight");
  const stop = new AbortController();
  const before = process.memoryUsage().rss;
  const work = {
    signal: stop.signal,
    emit: ({ done = 0 }: { done?: number }) => done > 2e8 && stop.abort(),
  };
  await assert.rejects(
    Promise.resolve(tensorHandlers.tensorStatistics({ tensor }, work)),
    failure("cancelled"),
  );
  assert((process.memoryUsage().rss - before) / 1e6 < 100);
});

test("an index shows all shards, and says what is missing", async () => {
  const one = { name: "a.weight", dtype: "F32", shape: [2], bytes: 8 };
  const two = { name: "b.weight", dtype: "F32", shape: [3], bytes: 12 };
  await writeSparse("model-00001.safetensors", [one]);
  await writeSparse("model-00002.safetensors", [two]);
  const index = path.join(folder, "model.safetensors.index.json");
  const write = (weight_map: Record<string, string>): Promise<void> =>
    writeFile(index, JSON.stringify({ metadata: {}, weight_map }));
  await write({ "a.weight": "model-00001.safetensors", "b.weight": "model-00002.safetensors" });
  const table = await readTable(index);
  assert.deepEqual(
    table.tensors.map(({ name, file }) => [name, table.files[file]?.name]),
    [
      ["a.weight", "model-00001.safetensors"],
      ["b.weight", "model-00002.safetensors"],
    ],
  );
  assert.deepEqual(table.problems, []);
  await write({ "a.weight": "model-00001.safetensors", "c.weight": "model-00003.safetensors" });
  const partly = await readTable(index);
  assert.equal(partly.tensors.length, 1);
  assert.match(partly.problems.join(), /not found: .*model-00003\.safetensors/);
  await write({ "a.weight": "model-00002.safetensors" });
  assert.match((await readTable(index)).problems.join(), /a\.weight.*Download/);
});

test("a file that changed since its table was read is not read as if it had not", async () => {
  const file = await writeSparse("changing.safetensors", [
    { name: "w", dtype: "F32", shape: [2], bytes: 8 },
  ]);
  const tensor = refTo(await readTable(file), "w");
  await utimes(file, new Date(), new Date(1));
  await assert.rejects(
    Promise.resolve(tensorHandlers.tensorStatistics({ tensor }, context())),
    failure("bad-request", "changing.safetensors", "changed on disk", "Reload"),
  );
});

const broken: [name: string, content: string | Buffer, says: RegExp][] = [
  [
    "pointer.safetensors",
    "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 538090408\n",
    /git-lfs pointer.*git lfs pull/,
  ],
  ["page.safetensors", "<!DOCTYPE html><html></html>", /web page.*Download/],
  ["empty.safetensors", "", /empty.*Download/],
  ["pickle.safetensors", Buffer.from("PK\x03\x04aaaaaaaaaaaaaaaaaa"), /PyTorch.*model\.bin/],
  ["model.gguf.safetensors", Buffer.from("GGUF\x03\0\0\0aaaaaaaa"), /GGUF/],
  ["other.safetensors", "this is a plain text", /safetensors/],
];

for (const [name, content, says] of broken) {
  test(`${name} says what it is and what to do`, async () => {
    const file = path.join(folder, name);
    await writeFile(file, content);
    await assert.rejects(readTable(file), (thrown: Error) => {
      assert.match(thrown.message, says);
      assert(thrown.message.includes(file), thrown.message);
      return true;
    });
  });
}
