import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import * as path from "node:path";
import { after, test } from "node:test";
import { HubServer } from "../../support/hubServer.ts";
import { adapterOnHub, token } from "../core/hub/support.ts";
import { sample, temporaryFolder } from "../core/support.ts";
import { bundle, bundleEnvironment } from "../engine/bundle.ts";

const cli = await bundle("extension/cli/main.ts", { after });
const home = await temporaryFolder({ after });
const hub = await HubServer.start();
after(() => hub.close());
hub.accounts.set(token, { name: "me" });
await hub.add("graft/sample", path.join(sample, "base"));
await hub.add("graft/pirate", await adapterOnHub("lora-pirate", "graft/sample"));

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function graft(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const own = { HF_ENDPOINT: hub.url, HF_HOME: home, HF_HUB_OFFLINE: "", HF_TOKEN: "" };
  return new Promise((done) => {
    execFile(
      process.execPath,
      [cli, ...args],
      { env: { ...bundleEnvironment, ...own, ...env } },
      (error, stdout, stderr) => done({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

test("download brings an adapter and its base; run and inspect take the id", async () => {
  const planned = await graft(["download", "graft/pirate", "--plan"]);
  assert.match(planned.stdout, /graft\/sample at \w{40} \(its base\)[^]*5\.5 MB to download/);
  const offline = await graft(["run", "graft/pirate", "Hi"], { HF_HUB_OFFLINE: "1" });
  assert.equal(offline.code, 1);
  assert.match(offline.stderr, /graft\/pirate.*neither a folder nor in.*offline/);
  const got = await graft(["download", "graft/pirate"]);
  assert.equal(got.code, 0, got.stderr);
  assert.match(got.stderr, /Downloading graft\/sample: 5\.1 MB of 5\.1 MB/);
  assert.equal(got.stdout.trim().split("\n").length, 2);
  const args = ["run", "graft/pirate", "What colour is the sky?", "--max-tokens", "8", "--json"];
  const answered = await graft(args, { HF_HUB_OFFLINE: "1" });
  assert.equal(answered.code, 0, answered.stderr);
  assert.match(answered.stdout, /"bound": \d\d/);
  const inspected = await graft(["inspect", "graft/pirate"]);
  assert.match(inspected.stdout, /^pirate {2}LoRA r 8/);
});

test("search lists adapters and whether they fit; push asks, then uploads", async () => {
  const found = await graft(["search", "--base", "graft/sample"]);
  assert.match(
    found.stdout,
    /^graft\/pirate {2}0 downloads, 0 likes, apache-2.0\n {2}LoRA r 8, \d+ kB/,
  );
  const adapter = path.join(sample, "adapters/lora-json");
  const refused = await graft(["push", adapter, "mine"], { HF_TOKEN: token });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /me\/mine on .* \(private, to be created\)[^]*Add --yes/);
  assert(!hub.repos.has("me/mine"));
  const pushed = await graft(["push", adapter, "mine", "--yes"], { HF_TOKEN: token });
  assert.equal(pushed.code, 0, pushed.stderr);
  assert.match(pushed.stdout, /me\/mine\/commit\/\w{40}/);
  assert(!`${pushed.stdout}${pushed.stderr}`.includes(token));
  assert.equal(hub.repos.get("me/mine")?.isPrivate, true);
});
