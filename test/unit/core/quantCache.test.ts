import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { cp, open, readdir, utimes } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel, type LoadBaseModelOptions } from "../../../extension/core/baseModel.ts";
import { clearQuantCache, listQuantCache } from "../../../extension/core/quantCache.ts";
import { bundle, bundleEnvironment } from "../engine/bundle.ts";
import { failure, fixtures, temporaryFolder } from "./support.ts";

const llama = path.join(fixtures, "models/llama");

async function load(options: LoadBaseModelOptions, folder = llama): Promise<boolean> {
  const { session, precision } = await loadBaseModel(folder, { precision: "int4", ...options });
  await session.dispose();
  assert(
    precision.error && precision.error.relative > 0.01,
    "the error is known from the cache, too",
  );
  return precision.fromCache;
}

void test("weights are made once for a model and its options, listed and cleared", async (t) => {
  const quantCacheDir = await temporaryFolder(t);
  assert.equal(await load({ quantCacheDir }), false);
  assert.equal(await load({ quantCacheDir }), true);
  assert.equal(
    await load({ quantCacheDir, accuracyLevel: 0 }),
    true,
    "how it runs changes nothing",
  );
  assert.equal(await load({ quantCacheDir, blockSize: 64 }), false);
  const other = await temporaryFolder(t);
  await cp(llama, other, { recursive: true });
  const file = path.join(other, "model.safetensors");
  await utimes(file, 1, 1);
  assert.equal(await load({ quantCacheDir }, other), false, "a file of another time is another");
  const entries = await listQuantCache(quantCacheDir);
  assert.deepEqual(
    entries.map(({ precision, isInUse }) => [precision, isInUse]),
    entries.map(() => ["int4", false]),
  );
  assert.equal(entries.length, 3);
  assert(entries.every(({ bytes }) => bytes > 10_000));
  const [first] = entries;
  const one = await clearQuantCache(quantCacheDir, { keys: [first?.key ?? ""] });
  assert.equal(one.removed.length, 1);
  assert.equal((await clearQuantCache(quantCacheDir)).removed.length, 2);
  assert.deepEqual(await readdir(quantCacheDir), []);
});

void test("what a base runs on is not cleared", async (t) => {
  const quantCacheDir = await temporaryFolder(t);
  const base = await loadBaseModel(llama, { precision: "int8", quantCacheDir });
  assert.equal((await clearQuantCache(quantCacheDir)).kept.length, 1);
  await base.session.dispose();
  assert.equal((await clearQuantCache(quantCacheDir)).removed.length, 1);
});

void test("a damaged file is noticed and made anew", async (t) => {
  const quantCacheDir = await temporaryFolder(t);
  await load({ quantCacheDir });
  const [entry] = await listQuantCache(quantCacheDir);
  const handle = await open(path.join(entry?.folder ?? "", "weights.safetensors"), "r+");
  await handle.write(new Uint8Array(64).fill(255), 0, 64, 9000);
  await handle.close();
  const steps: string[] = [];
  const onProgress: LoadBaseModelOptions["onProgress"] = ({ step }) => void steps.push(step);
  assert.equal(await load({ quantCacheDir, onProgress }), false);
  assert(steps.some((step) => step.includes("damaged")));
  assert.equal(await load({ quantCacheDir }), true);
});

void test("cancelling leaves nothing in the cache", async (t) => {
  const quantCacheDir = await temporaryFolder(t);
  const stop = new AbortController();
  const loading = load({
    quantCacheDir,
    signal: stop.signal,
    onProgress: ({ step, done = 0 }) => {
      if (step === "Quantizing" && done > 0) stop.abort();
    },
  });
  await assert.rejects(loading, failure("cancelled"));
  assert.deepEqual(await readdir(quantCacheDir), []);
});

void test("two processes may make the same weights at once", async (t) => {
  const quantCacheDir = await temporaryFolder(t);
  const worker = await bundle("test/unit/core/quantCacheWorker.ts", t);
  const run = (): Promise<number | null> =>
    new Promise((resolve) => {
      const child = fork(worker, [llama, quantCacheDir], { execArgv: [], env: bundleEnvironment });
      child.on("exit", resolve);
    });
  assert.deepEqual(await Promise.all([run(), run()]), [0, 0]);
  assert.equal((await listQuantCache(quantCacheDir)).length, 1);
  assert.equal((await readdir(quantCacheDir)).length, 1);
});
