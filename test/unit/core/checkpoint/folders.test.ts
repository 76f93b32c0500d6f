import assert from "node:assert/strict";
import { cp, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import type { ErrorCode } from "../../../../extension/core/base/errors.ts";
import {
  openAdapterCheckpoint,
  plainTensorName,
} from "../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { readAdapterConfig } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import { openBaseCheckpoint } from "../../../../extension/core/checkpoint/baseCheckpoint.ts";
import { findBaseFolder } from "../../../../extension/core/checkpoint/findBase.ts";
import { writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { failure, fixtures, sample, temporaryFolder } from "../support.ts";

const sharded = path.join(fixtures, "models/llama-sharded");
const indexName = "model.safetensors.index.json";

/** A copy of the sharded model whose index is changed. */
async function copyOfSharded(
  t: TestContext,
  change: (map: Record<string, string>) => void = () => {},
): Promise<string> {
  const folder = await temporaryFolder(t);
  await cp(sharded, folder, { recursive: true });
  const file = path.join(folder, indexName);
  const index = JSON.parse(await readFile(file, "utf8")) as { weight_map: Record<string, string> };
  change(index.weight_map);
  await writeFile(file, JSON.stringify(index));
  return folder;
}

test("a sharded model is the sum of its shards", async () => {
  const { files, weights, parameters, bytes, dtype, name } = await openBaseCheckpoint(sharded);
  assert(files.length > 1);
  const tensors = files.flatMap((file) => file.tensors);
  assert.equal(weights.size, tensors.length);
  const stored = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  assert.deepEqual([bytes, parameters * 4], [stored, stored]);
  assert.equal(dtype, "F32");
  assert.equal(name, "llama-sharded");
});

type IndexChange = (map: Record<string, string>) => void;
const first = "model.embed_tokens.weight";

// prettier-ignore
const indices: [what: string, change: IndexChange, code: ErrorCode, says: string][] = [
  ["names a missing shard", (map) => (map[first] = "model-9.safetensors"), "not-found", "model-9.safetensors"],
  ["leaves the folder", (map) => (map[first] = "../model.safetensors"), "bad-file", '"../model.safetensors", which is outside'],
  ["leaves it by an absolute path", (map) => (map[first] = "/etc/passwd"), "bad-file", '"/etc/passwd", which is outside'],
  ["names the folder above", (map) => (map[first] = ".."), "bad-file", '"..", which is outside'],
  ["names no file", (map) => Object.assign(map, { [first]: 7 }), "bad-file", `field "weight_map.${first}" is 7`],
];

for (const [what, change, code, says] of indices) {
  test(`an index that ${what} is refused`, async (t) => {
    const folder = await copyOfSharded(t, change);
    await assert.rejects(openBaseCheckpoint(folder), failure(code, folder, says));
  });
}

test("a tensor that is in two shards is refused", async (t) => {
  const folder = await copyOfSharded(t, (map) => (map["extra"] = "extra.safetensors"));
  const twin = { name: first, dtype: "F32", shape: [1], bytes: new Uint8Array(4) } as const;
  await writeSafetensors(path.join(folder, "extra.safetensors"), [twin]);
  await assert.rejects(openBaseCheckpoint(folder), failure("bad-file", first, "is also in"));
});

const missing: [what: string, files: string[], says: string][] = [
  ["config.json", ["config.json"], "config.json"],
  ["weights", [indexName], "model.safetensors"],
];

for (const [what, files, says] of missing) {
  test(`a base without ${what} says so`, async (t) => {
    const folder = await copyOfSharded(t);
    for (const file of files) await rm(path.join(folder, file));
    await assert.rejects(openBaseCheckpoint(folder), failure("not-found", folder, says));
  });
}

test("a base is known by its real path, and by its repository in the cache", async (t) => {
  const folder = await temporaryFolder(t);
  const repo = path.join(folder, "models--org--tiny");
  const snapshot = path.join(repo, "snapshots/abc");
  await cp(path.join(fixtures, "models/llama"), snapshot, { recursive: true });
  await symlink(snapshot, path.join(folder, "link"));
  const { dir, name } = await openBaseCheckpoint(path.join(folder, "link"));
  assert.equal(dir, snapshot);
  assert.equal(name, "tiny");
  assert.equal((await openBaseCheckpoint(path.join(sample, "base"))).name, "graft-sample");
});

interface Place {
  baseName: string | null;
  revision?: string;
  found: string | null;
}

const places: Place[] = [
  { baseName: null, found: null },
  { baseName: "", found: null },
  { baseName: "base", found: "base" },
  { baseName: "../../base", found: "base" },
  { baseName: "models/inner", found: "models/inner" },
  { baseName: "absolute", found: "base" },
  { baseName: "org/tiny", found: "cache/models--org--tiny/snapshots/new" },
  { baseName: "org/tiny", revision: "old", found: "cache/models--org--tiny/snapshots/old" },
  { baseName: "org/tiny", revision: "none", found: null },
  { baseName: "org/noconfig", found: null },
  { baseName: "org/none", found: null },
  { baseName: "adapters", found: null },
];

test("the base of an adapter: absolute, beside or above it, in the cache, or none", async (t) => {
  const folder = await temporaryFolder(t);
  const cache = path.join(folder, "cache");
  const snapshots = ["new", "old"].map((commit) => `cache/models--org--tiny/snapshots/${commit}`);
  for (const base of ["base", "models/inner", ...snapshots]) {
    await mkdir(path.join(folder, base), { recursive: true });
    await writeFile(path.join(folder, base, "config.json"), "{}");
  }
  await mkdir(path.join(cache, "models--org--noconfig/snapshots/a"), { recursive: true });
  await mkdir(path.join(cache, "models--org--tiny/refs"), { recursive: true });
  await writeFile(path.join(cache, "models--org--tiny/refs/main"), "new");
  const dir = path.join(folder, "adapters/mine");
  const config = await readAdapterConfig(path.join(sample, "adapters/lora-json"));
  for (const { baseName: name, revision = null, found } of places) {
    const baseName = name === "absolute" ? path.join(folder, "base") : name;
    const adapter = { dir, config: { ...config, baseName, revision } };
    const result = await findBaseFolder(adapter, { cache });
    assert.equal(result, found && path.join(folder, found), `${name} ${revision}`);
  }
});

test("an adapter without folder, config or weights says what is missing", async (t) => {
  const folder = await temporaryFolder(t);
  const config = path.join(sample, "adapters/lora-json/adapter_config.json");
  await assert.rejects(openAdapterCheckpoint(folder), failure("not-found", "adapter_config.json"));
  await cp(config, path.join(folder, "adapter_config.json"));
  await assert.rejects(openAdapterCheckpoint(folder), failure("not-found", "Adapter weights"));
  const none = path.join(folder, "none");
  await assert.rejects(openAdapterCheckpoint(none), failure("not-found", none));
});

const tensorNames: [stored: string, plain: string][] = [
  ["base_model.model.model.layers.0.q_proj.lora_A.weight", "model.layers.0.q_proj.lora_A.weight"],
  ["base_model.model.lm_head.lora_B.default.weight", "lm_head.lora_B.weight"],
  ["model.layers.0.q_proj.lora_A.weight", "model.layers.0.q_proj.lora_A.weight"],
  ["base_model.model.base_model.model.x.weight", "base_model.model.x.weight"],
];

for (const [stored, plain] of tensorNames) {
  test(`${stored} is ${plain}`, () => assert.equal(plainTensorName(stored), plain));
}
