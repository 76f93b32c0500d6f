import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { describeBase, loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { openAdapterCheckpoint } from "../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { searchAdapters, searchModels } from "../../../../extension/core/hub/search.ts";
import { downloadModel, planModel } from "../../../../extension/core/hubModel.ts";
import { openCheckpoint } from "../../../../extension/core/models/openCheckpoint.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { planPush, pushToHub } from "../../../../extension/core/pushToHub.ts";
import { describeRemoteAdapter, fitOfRemoteAdapter } from "../../../../extension/core/remoteFit.ts";
import type { HubServer } from "../../../support/hubServer.ts";
import { failure, fixtures, sample } from "../support.ts";
import { adapterOnHub, hubAndCache, token } from "./support.ts";

const baseFolder = path.join(sample, "base");

/** Bytes of weights that left the CDN. */
function fetched(hub: HubServer): number {
  return hub.requests
    .filter(({ where }) => where === "cdn")
    .reduce((sum, { sent }) => sum + sent, 0);
}

test("an adapter's id loads it and its base, once", async (t) => {
  const { hub, at } = await hubAndCache(t);
  await hub.add("graft/sample", baseFolder);
  await hub.add("graft/pirate", await adapterOnHub("lora-pirate", "graft/sample"));
  const absent = loadBaseModel("graft/pirate", { ...at, localFilesOnly: true });
  await assert.rejects(
    absent,
    failure("not-found", "graft/pirate", "neither a folder nor in", "hf download graft/pirate"),
  );
  assert.deepEqual(hub.requests, []);
  const steps = new Set<string>();
  const model = new PeftModel(
    await loadBaseModel("graft/pirate", { ...at, onProgress: ({ step }) => steps.add(step) }),
  );
  t.after(() => model.dispose());
  assert(
    steps.has("Downloading graft/pirate") && steps.has("Downloading graft/sample"),
    [...steps].join(),
  );
  assert.deepEqual(
    model.activeAdapters.map(({ name }) => name),
    ["default"],
  );
  hub.reset();
  await model.loadAdapter("graft/pirate", { ...at, adapterName: "again" });
  assert.equal(fetched(hub), 0);
  await model.loadAdapter("graft/pirate", { ...at, adapterName: "anew", forceDownload: true });
  assert(fetched(hub) > 0);
  await assert.rejects(
    model.loadAdapter("graft/none", { ...at, adapterName: "x" }),
    failure(
      "not-found",
      "graft/none",
      "nor in the Hugging Face cache",
      "private or does not exist (401)",
    ),
  );
  const there = { ...at, endpoint: "http://127.0.0.1:1" };
  await assert.rejects(
    model.loadAdapter("graft/none", { ...there, adapterName: "x" }),
    failure("not-found", "neither a folder nor in the Hugging Face cache", "cannot be reached"),
  );
});

test("revision and subfolder choose what is loaded", async (t) => {
  const { hub, at } = await hubAndCache(t);
  const pirate = await adapterOnHub("lora-pirate", "graft/sample");
  await hub.add("graft/many", { "README.md": "none in the root" });
  const inner = Object.fromEntries(
    Object.entries(pirate).map(([name, bytes]) => [`inner/${name}`, bytes]),
  );
  await hub.add("graft/many", { ...inner, "tokenizer.json": "{}" }, { branch: "v1" });
  const model = new PeftModel(await loadBaseModel(baseFolder));
  t.after(() => model.dispose());
  await assert.rejects(
    model.loadAdapter("graft/many", at),
    failure("not-found", "It holds no adapter"),
  );
  await assert.rejects(
    model.loadAdapter("graft/many", { ...at, revision: "v1" }),
    failure("not-found", "subfolders: inner"),
  );
  const { report } = await model
    .loadAdapter("graft/many", { ...at, revision: "v1", subfolder: "inner" })
    .catch((error: unknown) => {
      // The tokenizer above it is none, which is a warning at most.
      throw error;
    });
  assert(report.bound.length > 0);
  await assert.rejects(
    model.loadAdapter("graft/many", { ...at, revision: "v2", adapterName: "x" }),
    failure("not-found", "Revision not found: v2"),
  );
});

test("a plan tells what an adapter and its base would take, and fetches neither", async (t) => {
  const { hub, at } = await hubAndCache(t);
  await hub.add("graft/sample", baseFolder);
  await hub.add("graft/pirate", await adapterOnHub("lora-pirate", "graft/sample"));
  const plan = await planModel("graft/pirate", at);
  assert.equal(plan.kind, "adapter");
  assert.deepEqual(plan.files.map(({ path: name }) => name).sort(), [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
  ]);
  assert.equal(plan.base?.id, "graft/sample");
  assert.equal(plan.allBytes, plan.bytes + (plan.base?.bytes ?? 0));
  assert.equal(fetched(hub), 0);
  const { folder, base } = await downloadModel("graft/pirate", at);
  assert((await readFile(path.join(folder, "README.md"), "utf8")).includes("its maker"));
  assert(base?.includes("models--graft--sample"));
  const after = await planModel("graft/pirate", at);
  assert.deepEqual([after.allBytes, after.base], [0, undefined]);
});

const misfits: [what: string, base: string, fits: boolean][] = [
  ["its own base", baseFolder, true],
  ["another base", path.join(fixtures, "models/llama"), false],
];

for (const [what, folder, fits] of misfits) {
  test(`whether an adapter fits ${what} is known from its header`, async (t) => {
    const { hub, at } = await hubAndCache(t);
    const files = await adapterOnHub("lora-pirate", "graft/sample");
    await hub.add("graft/pirate", files);
    const base = describeBase(await openCheckpoint(folder));
    const fit = await fitOfRemoteAdapter("graft/pirate", base, at);
    assert.equal(fit.fits, fits, fit.reason);
    assert.equal(fit.method, "LoRA");
    const reads = hub.requests.filter(({ where }) => where === "cdn");
    assert.deepEqual(
      reads.map(({ headers }) => /^bytes=\d+-\d+$/.test(headers.range ?? "")),
      reads.map(() => true),
    );
    assert(
      fetched(hub) <= 65_536 && fetched(hub) < (files["adapter_model.safetensors"]?.length ?? 0),
    );
    if (fits) assert(fit.bound > 0 && fit.bound === fit.total);
    else assert.match(fit.reason ?? "", /shape|fit|size|layers/i);
  });
}

test("of .bin weights the fit is not known before they are here; a broken header is named", async (t) => {
  const { hub, at } = await hubAndCache(t);
  const { "adapter_model.safetensors": weights = "", ...files } = await adapterOnHub(
    "lora-pirate",
    "graft/sample",
  );
  await hub.add("graft/bin", { ...files, "adapter_model.bin": weights });
  const base = describeBase(await openCheckpoint(baseFolder));
  const fit = await fitOfRemoteAdapter("graft/bin", base, at);
  assert.deepEqual([fit.fits, fit.format], [null, "bin"]);
  assert.match(fit.reason ?? "", /once it is downloaded/);
  assert.equal(fetched(hub), 0);
  await hub.add("graft/broken", { ...files, "adapter_model.safetensors": Buffer.alloc(64, 0xff) });
  const broken = await fitOfRemoteAdapter("graft/broken", base, at);
  assert.equal(broken.fits, false);
  assert.match(broken.reason ?? "", /graft\/broken\/adapter_model.safetensors: header length/);
});

test("shards that an index names have to be there, inside the repository", async (t) => {
  const { hub, at } = await hubAndCache(t);
  const index = (shard: string): string => JSON.stringify({ weight_map: { a: shard } });
  const config = { "config.json": "{}" };
  const name = "model.safetensors.index.json";
  await hub.add("graft/lost", { ...config, [name]: index("part-2.safetensors") });
  await assert.rejects(
    planModel("graft/lost", at),
    failure("not-found", "Shard", "part-2.safetensors"),
  );
  await hub.add("graft/out", { ...config, [name]: index("../../secrets") });
  await assert.rejects(planModel("graft/out", at), failure("bad-file", "outside the folder"));
});

test("adapters of a base are found by its tag, with what a picker shows", async (t) => {
  const { hub, at } = await hubAndCache(t);
  await hub.add("graft/sample", {
    "config.json": "{}",
    "README.md": "---\nlibrary_name: transformers\n---\n",
  });
  await hub.add("graft/pirate", await adapterOnHub("lora-pirate", "graft/sample"), {
    downloads: 5,
    likes: 2,
  });
  await hub.add("graft/json", await adapterOnHub("lora-json", "graft/sample"), {
    downloads: 9,
    isGated: true,
  });
  await hub.add("graft/other", await adapterOnHub("lora-json", "some/other"));
  const found = await searchAdapters({ ...at, base: "graft/sample" });
  assert.deepEqual(
    found.map(({ id }) => id),
    ["graft/json", "graft/pirate"],
  );
  const { likes, licence, isGated, bases } = found[1] ?? assert.fail();
  assert.deepEqual(
    { likes, licence, isGated, bases },
    { likes: 2, licence: "apache-2.0", isGated: false, bases: ["graft/sample"] },
  );
  assert.deepEqual(
    (await searchAdapters({ ...at, query: "OTHER" })).map(({ id }) => id),
    ["graft/other"],
  );
  assert.equal((await searchAdapters({ ...at, limit: 2 })).length, 2);
  assert.deepEqual(
    (await searchModels(at)).map(({ id }) => id),
    ["graft/sample"],
  );
  const about = await describeRemoteAdapter("graft/pirate", at);
  assert.deepEqual([about.method, about.rank, about.baseName], ["LoRA", 8, "graft/sample"]);
  assert.equal(fetched(hub), 0);
});

async function pirate(): Promise<Parameters<typeof planPush>[0]> {
  const checkpoint = await openCheckpoint(baseFolder);
  const own = await openAdapterCheckpoint(path.join(sample, "adapters/lora-pirate"));
  return {
    adapters: [{ name: "default", checkpoint: own }],
    base: { checkpoint, tree: describeBase(checkpoint).tree },
  };
}

test("a push tells first what leaves, then uploads it in one commit, private", async (t) => {
  const { hub, at } = await hubAndCache(t);
  const as = { ...at, token };
  const source = await pirate();
  await assert.rejects(planPush(source, "pirate", at), failure("unauthorized", "HF_TOKEN"));
  const plan = await planPush(source, "pirate", as);
  const { repoId, visibility, exists, account, revision } = plan;
  assert.deepEqual(
    { repoId, visibility, exists, account, revision },
    { repoId: "me/pirate", visibility: "private", exists: false, account: "me", revision: "main" },
  );
  assert.deepEqual(
    plan.files.map(({ path: name, change }) => `${name} ${change}`),
    ["adapter_config.json added", "adapter_model.safetensors added", "README.md added"],
  );
  assert.match(plan.warnings.join(), /name the base as "sample.base", a folder/);
  assert(!hub.requests.some(({ method }) => method !== "GET"), "nothing has left");
  await assert.rejects(
    pushToHub(source, "pirate", { ...as, digest: "other" }),
    failure("bad-request", "has changed"),
  );
  assert(!hub.repos.has("me/pirate"));

  const progress: number[] = [];
  const onProgress = ({ done, total }: { done?: number; total?: number }): void => {
    if (done !== undefined && total) progress.push(done / total);
  };
  const pushed = await pushToHub(source, "pirate", {
    ...as,
    digest: plan.digest,
    commitMessage: "Ahoy",
    onProgress,
  });
  const repo = hub.repos.get("me/pirate") ?? assert.fail();
  const commit = repo.commits.get(repo.refs.get("main") ?? "") ?? assert.fail();
  assert.deepEqual(
    [repo.isPrivate, repo.commits.size, commit.title, commit.id],
    [true, 2, "Ahoy", pushed.commit],
  );
  assert(
    commit.files
      .get("adapter_model.safetensors")
      ?.bytes.equals(
        await readFile(path.join(sample, "adapters/lora-pirate/adapter_model.safetensors")),
      ),
  );
  assert.equal(progress.at(-1), 1);
  assert(progress.length > 2);
  assert.deepEqual(
    [
      ...new Set(
        hub.requests
          .filter(({ where }) => where === "cdn")
          .map(({ headers }) => headers.authorization),
      ),
    ],
    [undefined],
  );

  const again = await planPush(source, "me/pirate", as);
  assert.deepEqual(
    [again.exists, again.visibility, again.files.every(({ change }) => change === "unchanged")],
    [true, "private", true],
  );
});

test("a push keeps a card's words, opens pull requests and makes branches", async (t) => {
  const { hub, at } = await hubAndCache(t);
  const as = { ...at, token };
  await hub.add("me/mine", await adapterOnHub("lora-json", "graft/sample"));
  const source = await pirate();
  const opened = await pushToHub(source, "me/mine", { ...as, createPr: true });
  assert.equal(opened.pullRequestUrl, `${hub.url}/me/mine/discussions/1`);
  const repo = hub.repos.get("me/mine") ?? assert.fail();
  assert.equal(repo.refs.has("refs/pr/1"), true);
  const branched = await pushToHub(source, "me/mine", { ...as, revision: "v2" });
  const commit = repo.commits.get(repo.refs.get("v2") ?? "") ?? assert.fail();
  assert.equal(commit.id, branched.commit);
  assert.notEqual(repo.refs.get("main"), commit.id);
  assert.match(commit.files.get("README.md")?.bytes.toString() ?? "", /Words of its maker/);
  assert.equal(branched.visibility, "public");
});

test("a push that is cancelled or forbidden changes nothing", async (t) => {
  const { hub, at } = await hubAndCache(t);
  const as = { ...at, token };
  const source = await pirate();
  const stop = new AbortController();
  const onProgress = ({ done = 0 }): void => {
    if (done > 0) stop.abort();
  };
  hub.fail({ at: /PUT/, where: "cdn", bytesPerSecond: 1 });
  await assert.rejects(
    pushToHub(source, "me/mine", { ...as, onProgress, signal: stop.signal }),
    failure("cancelled"),
  );
  const repo = hub.repos.get("me/mine");
  assert(!repo || repo.commits.size === 1);
  hub.accounts.set(token, { name: "me", role: "read" });
  await assert.rejects(planPush(source, "me/mine", as), failure("unauthorized", "may only read"));
  hub.accounts.set(token, { name: "me" });
  await assert.rejects(
    pushToHub(source, "org/theirs", as),
    failure("unauthorized", "forbids this (403"),
  );
});
