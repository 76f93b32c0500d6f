import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { AdapterSummaries } from "../../../extension/engine/adapterSummaries.ts";
import { discover, readAdapters } from "../../../extension/engine/discover.ts";
import type { DiscoverParams } from "../../../extension/protocol/engineContract.ts";
import { makeAdapterFolders } from "../../bench/adapterFolders.ts";
import { root } from "../core/support.ts";

const context = { emit: () => undefined, signal: new AbortController().signal };
const pirate = path.join(root, "media/sample/adapters/lora-pirate");

async function folderFor(t: TestContext): Promise<string> {
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), "graft-discover-")));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

function look(
  roots: DiscoverParams["roots"],
  summaries = new AdapterSummaries(),
): ReturnType<typeof discover> {
  return discover({ roots, huggingFaceCache: false }, context, summaries);
}

test("one folder is looked at without those below it", async (t) => {
  const folder = await folderFor(t);
  await cp(pirate, path.join(folder, "a"), { recursive: true });
  await cp(pirate, path.join(folder, "a/b"), { recursive: true });
  const place = { path: path.join(folder, "a"), source: "workspace" as const };
  const one = await look([{ ...place, isOne: true }]);
  assert.deepEqual(
    one.adapters.map(({ name }) => name),
    ["a"],
  );
  assert.equal((await look([place])).adapters.length, 2);
  const gone = await look([{ ...place, path: path.join(folder, "gone"), isOne: true }]);
  assert.deepEqual([gone.adapters.length, gone.problems.length], [0, 1]);
});

test("what changed on disk is read again, what did not is not", async (t) => {
  const folder = await folderFor(t);
  await cp(pirate, path.join(folder, "a"), { recursive: true });
  const roots = [{ path: folder, source: "folder" as const }];
  const summaries = new AdapterSummaries();
  const [first] = (await look(roots, summaries)).adapters;
  assert.equal((await look(roots, summaries)).adapters[0]?.parameters, first?.parameters);
  await writeFile(path.join(folder, "a/adapter_model.safetensors"), "short");
  assert.match((await look(roots, summaries)).adapters[0]?.problem ?? "", /has 5 bytes/);
  await cp(pirate, path.join(folder, "a"), { recursive: true });
  const [mended] = (await look(roots, summaries)).adapters;
  assert.deepEqual([mended?.problem, mended?.parameters], [undefined, first?.parameters]);
});

test("a base that comes later is found by adapters that were read before", async (t) => {
  const folder = await folderFor(t);
  await cp(pirate, path.join(folder, "adapters/a"), { recursive: true });
  const roots = [{ path: folder, source: "folder" as const }];
  const summaries = new AdapterSummaries();
  assert.equal((await look(roots, summaries)).adapters[0]?.basePath, null);
  await mkdir(path.join(folder, "sample"));
  await symlink(path.join(root, "media/sample/base"), path.join(folder, "sample/base"));
  const [led] = (await look(roots, summaries)).adapters;
  assert.equal(led?.basePath, await realpath(path.join(root, "media/sample/base")));
});

test("of very many adapters the weights are read later, and all the same", async (t) => {
  const folder = await folderFor(t);
  await makeAdapterFolders(folder, 1001);
  const broken = path.join(folder, "run-0/adapter-7");
  await writeFile(path.join(broken, "adapter_model.safetensors"), "short");
  const summaries = new AdapterSummaries();
  const { adapters } = await look([{ path: folder, source: "folder" }], summaries);
  assert.equal(adapters.length, 1001);
  const { isUnread, method, rank, parameters, bytes } = adapters[0] ?? assert.fail();
  assert.deepEqual([isUnread, method, rank, parameters], [true, "LoRA", 8, 0]);
  assert(bytes > 1_000_000);
  const read = await readAdapters({ adapters }, context, summaries);
  const sound = read.filter(({ problem }) => problem === undefined);
  assert.equal(sound.length, 1000);
  assert(sound.every((each) => each.parameters === 294_912 && each.isUnread === undefined));
  assert.match(read.find((each) => each.path === broken)?.problem ?? "", /has 5 bytes/);
  // Known now, so that the next look has them at once.
  const again = await look([{ path: folder, source: "folder" }], summaries);
  assert(again.adapters.every((each) => each.isUnread === undefined));
});
