import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import {
  cachedRepos,
  findCachedRepo,
  hubCacheFolder,
  repoIdOf,
} from "../../../../extension/core/hub/cache.ts";
import { temporaryFolder } from "../support.ts";

const environments: [env: Record<string, string>, folder: string][] = [
  [{}, path.join(homedir(), ".cache/huggingface/hub")],
  [{ XDG_CACHE_HOME: "/xdg" }, "/xdg/huggingface/hub"],
  [{ XDG_CACHE_HOME: "/xdg", HF_HOME: "/home" }, "/home/hub"],
  [{ HF_HOME: "/home", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
  [{ HF_HOME: "/home", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/cache" }, "/cache"],
];

for (const [env, folder] of environments) {
  test(`the cache with ${JSON.stringify(env)} is ${folder}`, () => {
    assert.equal(hubCacheFolder(env), path.normalize(folder));
  });
}

const cache = await temporaryFolder({ after });

async function repo(
  name: string,
  refs: Record<string, string>,
  snapshots: string[],
): Promise<void> {
  for (const snapshot of snapshots) {
    await mkdir(path.join(cache, name, "snapshots", snapshot), { recursive: true });
  }
  for (const [ref, commit] of Object.entries(refs)) {
    await mkdir(path.join(cache, name, "refs"), { recursive: true });
    await writeFile(path.join(cache, name, "refs", ref), commit);
  }
}

await repo("models--org--two", { main: "bbb\n", v1: "aaa" }, ["aaa", "bbb"]);
await repo("models--gpt2", { main: "ccc" }, ["ccc"]);
await repo("models--org--pinned", {}, ["ddd"]);
await repo("models--org--gone", { main: "eee" }, []);
await repo("datasets--org--data", { main: "fff" }, ["fff"]);

const snapshot = (name: string, commit: string): string =>
  path.join(cache, name, "snapshots", commit);

const lookups: [id: string, revision: string | undefined, found: string | null][] = [
  ["org/two", undefined, snapshot("models--org--two", "bbb")],
  ["org/two", "main", snapshot("models--org--two", "bbb")],
  ["org/two", "v1", snapshot("models--org--two", "aaa")],
  ["org/two", "aaa", snapshot("models--org--two", "aaa")],
  ["org/two", "v2", null],
  ["gpt2", undefined, snapshot("models--gpt2", "ccc")],
  ["org/pinned", undefined, snapshot("models--org--pinned", "ddd")],
  ["org/gone", undefined, null],
  ["org/data", undefined, null],
  ["org/none", undefined, null],
  ["../org/two", undefined, null],
  ["org/two/..", undefined, null],
  ["/org/two", undefined, null],
  ["", undefined, null],
];

for (const [id, revision, found] of lookups) {
  test(`"${id}" at ${revision ?? "its newest"} is ${found ? path.basename(found) : null}`, async () => {
    assert.equal(await findCachedRepo(id, { cache, revision }), found);
  });
}

test("lists model repositories that have a snapshot", async () => {
  const found = await cachedRepos(cache);
  assert.deepEqual(
    found.map(({ id, snapshot: folder }) => `${id} ${path.basename(folder)}`).sort(),
    ["gpt2 ccc", "org/pinned ddd", "org/two bbb"],
  );
  assert.deepEqual(await cachedRepos(path.join(cache, "none")), []);
});

test("a folder inside the cache knows its repository", () => {
  assert.equal(repoIdOf(snapshot("models--org--two", "bbb")), "org/two");
  assert.equal(repoIdOf(snapshot("models--gpt2", "ccc")), "gpt2");
  assert.equal(repoIdOf(path.join(cache, "two")), null);
});
