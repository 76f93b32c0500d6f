import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, realpath } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { snapshotDownload } from "../../extension/core/hub/snapshot.ts";
import { HubServer } from "../support/hubServer.ts";
import { sample, temporaryFolder } from "../unit/core/support.ts";

const run = promisify(execFile);
const python = process.env["GRAFT_PYTHON"] ?? "python3";
const version = await run(python, ["-c", "import huggingface_hub as h; print(h.__version__)"]).then(
  ({ stdout }) => stdout.trim(),
  () => null,
);
const skip =
  version === null ? `${python} cannot import huggingface_hub; GRAFT_PYTHON names one` : false;

/** What huggingface_hub prints for an expression, with the tests' Hub or without any. */
async function ask(expression: string, env: Record<string, string>): Promise<unknown> {
  const code = `import huggingface_hub as h, json; print(json.dumps(${expression}))`;
  const all = { ...process.env, HF_HUB_DISABLE_TELEMETRY: "1", HF_HUB_DISABLE_XET: "1", ...env };
  const { stdout } = await run(python, ["-c", code], { env: all });
  return JSON.parse(stdout.trim().split("\n").at(-1) as string) as unknown;
}

test(
  `huggingface_hub ${version} and Graft take each other's cache for their own`,
  { skip },
  async (t) => {
    const hub = await HubServer.start();
    t.after(() => hub.close());
    await hub.add("org/base", path.join(sample, "base"));
    await hub.add("org/pirate", path.join(sample, "adapters/lora-pirate"));
    const cacheDir = await temporaryFolder(t);
    const at = { endpoint: hub.url, cacheDir, token: false, offline: false } as const;

    const folder = await snapshotDownload("org/base", at);
    const offline = { HF_HUB_CACHE: cacheDir, HF_HUB_OFFLINE: "1" };
    assert.equal(
      await ask('h.snapshot_download("org/base", local_files_only=True)', offline),
      folder,
    );
    assert.equal(
      await ask('h.hf_hub_download("org/base", "config.json")', offline),
      path.join(folder, "config.json"),
    );
    const absent = 'str(h.try_to_load_from_cache("org/base", "chat_template.json"))';
    assert.match(String(await ask(absent, offline)), /object object/, "noted as not there");
    const scan =
      "[[r.repo_id, r.nb_files] for r in h.scan_cache_dir().repos] + h.scan_cache_dir().warnings";
    assert.deepEqual(await ask(scan, offline), [["org/base", (await readdir(folder)).length]]);

    // The other way: what Python brought is not fetched again.
    const online = { HF_HUB_CACHE: cacheDir, HF_ENDPOINT: hub.url };
    const theirs = await ask('h.snapshot_download("org/pirate")', online);
    hub.reset();
    assert.equal(
      await realpath(await snapshotDownload("org/pirate", at)),
      await realpath(String(theirs)),
    );
    assert.equal(hub.requests.filter(({ path: asked }) => asked.includes("/resolve/")).length, 0);
    const info = await ask('h.model_info("org/pirate").sha', online);
    assert.match(String(info), /^[0-9a-f]{40}$/);
  },
);
