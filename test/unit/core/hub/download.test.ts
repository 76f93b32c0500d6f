import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdir, readFile, readlink, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { downloadPlan, snapshotDownload } from "../../../../extension/core/hub/snapshot.ts";
import { bundle, bundleEnvironment } from "../../engine/bundle.ts";
import { failure, temporaryFolder } from "../support.ts";
import { baseFiles, filesBelow, hubAndCache, token } from "./support.ts";

test("a base comes into the cache as huggingface_hub lays it out", async (t) => {
  const { hub, cacheDir, at } = await hubAndCache(t);
  const files = baseFiles();
  const commit = await hub.add("org/tiny", files);
  const steps: { step: string; done?: number; total?: number }[] = [];
  const folder = await snapshotDownload("org/tiny", {
    ...at,
    onProgress: (each) => steps.push(each),
  });
  const repo = path.join(cacheDir, "models--org--tiny");
  assert.equal(folder, path.join(repo, "snapshots", commit.id));
  assert.equal(await readFile(path.join(repo, "refs/main"), "utf8"), commit.id);
  assert.deepEqual(await filesBelow(folder), [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
  ]);
  const stored = commit.files.get("model.safetensors");
  assert.equal(
    await readlink(path.join(folder, "model.safetensors")),
    path.join("../../blobs", stored?.sha256 ?? ""),
  );
  const config = commit.files.get("config.json");
  assert.equal(
    await readlink(path.join(folder, "config.json")),
    path.join("../../blobs", config?.oid ?? ""),
  );
  assert.deepEqual(
    await readFile(path.join(folder, "model.safetensors")),
    files["model.safetensors"],
  );
  assert((await filesBelow(repo)).includes(`.no_exist/${commit.id}/generation_config.json`));
  const last = steps.at(-1);
  assert.equal(last?.done, last?.total);
  assert.equal(last?.total, 300_000 + 22 + 2);
});

test("what is in the cache is not fetched again, and a moved branch is followed", async (t) => {
  const { hub, at } = await hubAndCache(t);
  const files = baseFiles();
  await hub.add("org/tiny", files);
  const first = await snapshotDownload("org/tiny", at);
  hub.reset();
  assert.equal(await snapshotDownload("org/tiny", at), first);
  assert.equal(hub.requests.filter(({ path: asked }) => asked.includes("/resolve/")).length, 0);
  await hub.add("org/tiny", { ...files, "config.json": '{"model_type":"qwen2"}' });
  hub.reset();
  const plan = await downloadPlan("org/tiny", at);
  assert.deepEqual([plan.kind, plan.bytes, plan.totalBytes], ["base", 22, 300_024]);
  const second = await snapshotDownload("org/tiny", at);
  assert.notEqual(second, first);
  assert.deepEqual(
    hub.requests.filter(({ where }) => where === "cdn"),
    [],
  );
  await snapshotDownload("org/tiny", { ...at, forceDownload: true });
  assert.equal(hub.requests.filter(({ where }) => where === "cdn").length, 2);
});

test("a cut connection goes on where it ended, in the same call and in the next", async (t) => {
  const { hub, cacheDir, at } = await hubAndCache(t);
  const files = baseFiles();
  const commit = await hub.add("org/tiny", files);
  const sha = commit.files.get("model.safetensors")?.sha256 ?? "";
  const weights = { at: new RegExp(sha), where: "cdn" } as const;
  hub.fail({ ...weights, times: 1, cut: 100_000 });
  const folder = await snapshotDownload("org/tiny", at);
  assert.deepEqual(
    await readFile(path.join(folder, "model.safetensors")),
    files["model.safetensors"],
  );
  const ranges = hub.requests
    .filter(({ where, path: asked }) => where === "cdn" && asked.includes(sha))
    .map(({ headers }) => headers.range);
  assert.deepEqual(ranges, [undefined, "bytes=100000-"]);

  const other = { ...at, cacheDir: path.join(cacheDir, "other") };
  hub.reset();
  hub.fail({ ...weights, times: 1, cut: 100_000 });
  hub.fail({ ...weights, status: 503 });
  await assert.rejects(snapshotDownload("org/tiny", other), failure("unreachable", "503"));
  const left = await filesBelow(other.cacheDir);
  assert(left.includes(`models--org--tiny/blobs/${sha}.incomplete`), left.join());
  assert(!left.some((name) => name.includes("snapshots") || name.includes("refs")), left.join());
  hub.reset();
  const again = await snapshotDownload("org/tiny", other);
  assert.deepEqual(
    await readFile(path.join(again, "model.safetensors")),
    files["model.safetensors"],
  );
  const asked = hub.requests
    .filter(({ where }) => where === "cdn")
    .map(({ headers }) => headers.range);
  assert(asked.includes("bytes=100000-"), asked.join());
});

test("a server without ranges sends the file again from its start", async (t) => {
  const { hub, at } = await hubAndCache(t);
  const files = baseFiles();
  const commit = await hub.add("org/tiny", files);
  const at1 = new RegExp(commit.files.get("model.safetensors")?.sha256 ?? "");
  hub.fail({ at: at1, where: "cdn", times: 1, cut: 100_000 });
  hub.fail({ at: at1, where: "cdn", noRanges: true });
  const folder = await snapshotDownload("org/tiny", at);
  assert.deepEqual(
    await readFile(path.join(folder, "model.safetensors")),
    files["model.safetensors"],
  );
});

for (const name of ["model.safetensors", "config.json"]) {
  test(`wrong bytes of ${name} are refused and removed; the next attempt works`, async (t) => {
    const { hub, cacheDir, at } = await hubAndCache(t);
    const commit = await hub.add("org/tiny", baseFiles());
    const { sha256, oid } = commit.files.get(name) ?? assert.fail();
    hub.fail(
      sha256
        ? { at: new RegExp(sha256), where: "cdn", corrupt: true }
        : { at: /config/, corrupt: true },
    );
    const says = failure("wrong-bytes", name, sha256 ?? oid, "has been removed");
    await assert.rejects(snapshotDownload("org/tiny", at), says);
    assert(
      !(await filesBelow(cacheDir)).some(
        (file) => file.includes(`${sha256 ?? oid}`) && !file.includes(".locks"),
      ),
    );
    hub.reset();
    await snapshotDownload("org/tiny", at);
  });
}

test("a wrong start of an earlier attempt is thrown away once, without an error", async (t) => {
  const { hub, cacheDir, at } = await hubAndCache(t);
  const commit = await hub.add("org/tiny", baseFiles());
  const blobs = path.join(cacheDir, "models--org--tiny/blobs");
  await mkdir(blobs, { recursive: true });
  const sha = commit.files.get("model.safetensors")?.sha256 ?? "";
  await writeFile(path.join(blobs, `${sha}.incomplete`), Buffer.alloc(5000));
  await snapshotDownload("org/tiny", at);
  await writeFile(path.join(blobs, sha), "too short");
  await snapshotDownload("org/tiny", at);
  assert.equal((await readFile(path.join(blobs, sha))).length, 300_000);
});

test("cancelling leaves nothing but the partial file", async (t) => {
  const { hub, cacheDir, at } = await hubAndCache(t);
  await hub.add("org/tiny", baseFiles());
  hub.fail({ at: /./, where: "cdn", bytesPerSecond: 400_000 });
  const stop = new AbortController();
  const onProgress = ({ done = 0 }): void => {
    if (done > 50_000) stop.abort();
  };
  const download = snapshotDownload("org/tiny", { ...at, onProgress, signal: stop.signal });
  await assert.rejects(download, failure("cancelled"));
  const left = await filesBelow(cacheDir);
  assert.equal(left.filter((name) => name.endsWith(".incomplete")).length, 1);
  assert(!left.some((name) => /snapshots|refs|\.lock$/.test(name)), left.join());
  hub.reset();
  await snapshotDownload("org/tiny", at);
  assert.match(
    hub.requests.findLast(({ where }) => where === "cdn")?.headers.range ?? "",
    /^bytes=\d+-$/,
  );
});

test("a server that falls silent is given up, and says so", async (t) => {
  const { hub, at } = await hubAndCache(t);
  await hub.add("org/tiny", baseFiles());
  hub.fail({ at: /./, where: "cdn", stall: 1000 });
  const options = { ...at, stallTimeout: 200, retries: 1 };
  await assert.rejects(
    snapshotDownload("org/tiny", options),
    failure("unreachable", "sent nothing for 0.2 seconds"),
  );
});

test("two processes at once fetch a file once", async (t) => {
  const { hub, cacheDir, at } = await hubAndCache(t);
  await hub.add("org/tiny", baseFiles());
  hub.fail({ at: /./, where: "cdn", bytesPerSecond: 600_000 });
  const snapshot = await bundle("extension/core/hub/snapshot.ts", t);
  const script = `
    const { snapshotDownload } = require(${JSON.stringify(snapshot)});
    void snapshotDownload("org/tiny", JSON.parse(process.argv[1])).then(console.log);`;
  const run = (): Promise<string> =>
    new Promise((done) => {
      const child = spawn(process.execPath, ["-e", script, JSON.stringify(at)], {
        env: bundleEnvironment,
        stdio: ["ignore", "pipe", "inherit"],
      });
      let out = "";
      child.stdout.on("data", (part) => (out += String(part)));
      child.on("close", () => done(out.trim()));
    });
  const [one, two] = await Promise.all([run(), run()]);
  assert.equal(one, two);
  assert(one?.startsWith(cacheDir), one);
  assert.equal(
    hub.requests.filter(({ where }) => where === "cdn").length,
    2,
    "weights and tokenizer",
  );
});

test("a full disk is a clear error; the cache stays and a later attempt works", async (t) => {
  const { hub, at } = await hubAndCache(t);
  const small = await temporaryFolder(t);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", small], { stdio: "ignore" });
  } catch {
    t.skip("only root on Linux can mount a small disk");
    return;
  }
  const files = baseFiles(200_000);
  await hub.add("org/small", files);
  await hub.add("org/tiny", baseFiles(900_000));
  const on = { ...at, cacheDir: small };
  // Unmounted before the folder goes; hooks run in the order of their registration.
  try {
    const kept = await snapshotDownload("org/small", on);
    await assert.rejects(
      snapshotDownload("org/tiny", on),
      failure("disk-full", small, "900 kB", "free"),
    );
    assert.deepEqual(
      await readFile(path.join(kept, "model.safetensors")),
      files["model.safetensors"],
    );

    // A disk that fills up while the download runs.
    await hub.add("org/third", baseFiles(20_000));
    const filler = path.join(small, "filler");
    const onProgress = ({ done = 0 }): void => {
      if (done > 0 && done < 20_000)
        execFileSync("sh", ["-c", `cat /dev/zero > ${filler} || true`], { stdio: "ignore" });
    };
    hub.fail({ at: /./, where: "cdn", bytesPerSecond: 20_000 });
    await assert.rejects(
      snapshotDownload("org/third", { ...on, onProgress }),
      failure("disk-full", "try again"),
    );
    assert.deepEqual(
      await readFile(path.join(kept, "model.safetensors")),
      files["model.safetensors"],
    );
    execFileSync("rm", [filler]);
    hub.reset();
    await snapshotDownload("org/third", on);
  } finally {
    execFileSync("umount", ["-l", small]);
  }
});

test("without links the files themselves lie in the snapshot, equal ones too", async (t) => {
  const { hub, cacheDir, at } = await hubAndCache(t);
  process.env["HF_HUB_DISABLE_SYMLINKS"] = "1";
  t.after(() => delete process.env["HF_HUB_DISABLE_SYMLINKS"]);
  const files: ReturnType<typeof baseFiles> = {
    ...baseFiles(),
    "tokenizer.json": "{}",
    "added_tokens.json": "{}",
    "special_tokens_map.json": "{}",
  };
  await hub.add("org/tiny", files);
  const folder = await snapshotDownload("org/tiny", at);
  assert.deepEqual(
    await readFile(path.join(folder, "model.safetensors")),
    files["model.safetensors"],
  );
  for (const name of ["added_tokens.json", "special_tokens_map.json"]) {
    assert.equal(await readFile(path.join(folder, name), "utf8"), "{}");
  }
  hub.reset();
  assert.equal(await snapshotDownload("org/tiny", at), folder);
  assert.equal(hub.requests.filter(({ path: asked }) => asked.includes("/resolve/")).length, 0);
  assert((await filesBelow(path.join(cacheDir, "models--org--tiny/blobs"))).length === 0);
});

test("offline, and without a Hub, the cache has to do", async (t) => {
  const { hub, at } = await hubAndCache(t);
  await hub.add("org/tiny", baseFiles());
  const none = failure("not-found", "org/tiny", "HF_HUB_OFFLINE");
  await assert.rejects(snapshotDownload("org/tiny", { ...at, offline: true }), none);
  const folder = await snapshotDownload("org/tiny", at);
  hub.reset();
  assert.equal(await snapshotDownload("org/tiny", { ...at, offline: true }), folder);
  assert.equal(await snapshotDownload("org/tiny", { ...at, localFilesOnly: true }), folder);
  assert.deepEqual(hub.requests, []);
  const warnings: string[] = [];
  const onWarning = (warning: string): void => void warnings.push(warning);
  hub.fail({ at: /./, status: 500 });
  assert.equal(await snapshotDownload("org/tiny", { ...at, onWarning }), folder);
  hub.reset();
  hub.fail({ at: /./, status: 401 });
  assert.equal(await snapshotDownload("org/tiny", { ...at, token, onWarning }), folder);
  await hub.close();
  const dead = { ...at, onWarning };
  assert.equal(await snapshotDownload("org/tiny", dead), folder);
  assert.equal(warnings.length, 3);
  assert.match(
    warnings.join("\n"),
    /fails \(500.*\n.*revoked.*\n.*cannot be reached \(ECONNREFUSED\)/,
  );
});
