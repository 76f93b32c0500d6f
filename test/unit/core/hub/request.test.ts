import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { asGraftError, type ErrorCode } from "../../../../extension/core/base/errors.ts";
import { hubSettings } from "../../../../extension/core/hub/settings.ts";
import { downloadPlan, snapshotDownload } from "../../../../extension/core/hub/snapshot.ts";
import { whoAmI } from "../../../../extension/core/hub/account.ts";
import type { Fault } from "../../../support/hubServer.ts";
import { failure, temporaryFolder } from "../support.ts";
import { baseFiles, hubAndCache, token } from "./support.ts";

const refusals: [what: string, fault: Omit<Fault, "at">, code: ErrorCode, says: string[]][] = [
  [
    "no token",
    { status: 401 },
    "unauthorized",
    ["org/tiny is private or does not exist", "sign in"],
  ],
  [
    "terms",
    { status: 403, headers: { "x-error-code": "GatedRepo" } },
    "gated",
    ["accept the terms at http://127.0.0.1", "/org/tiny", "then sign in"],
  ],
  [
    "a role",
    { status: 403, headers: { "x-error-message": "read only" } },
    "unauthorized",
    ["403: read only", "HF_TOKEN"],
  ],
  ["a repository", { status: 404 }, "not-found", ["Repository not found: org/tiny on http"]],
  [
    "a revision",
    { status: 404, headers: { "x-error-code": "RevisionNotFound" } },
    "not-found",
    ["Revision not found: v2 of org/tiny"],
  ],
  [
    "its patience",
    { status: 429, headers: { "retry-after": "3600" } },
    "rate-limited",
    ["in 3600 seconds"],
  ],
  ["its patience, in vain", { status: 429 }, "rate-limited", ["Try again later", "Signing in"]],
  ["health", { status: 500 }, "unreachable", ["org/tiny at v2: the Hub fails (500)"]],
  ["sense", { status: 200, body: "<html>" }, "bad-file", ["answer cannot be read", "HF_ENDPOINT"]],
  [
    "an end",
    { status: 302, headers: { location: "/api/models/org/tiny" } },
    "unreachable",
    ["without end"],
  ],
];

for (const [what, fault, code, says] of refusals) {
  test(`a Hub without ${what}: ${code}`, async (t) => {
    const { hub, at } = await hubAndCache(t);
    hub.fail({ at: /./, ...fault });
    await assert.rejects(
      downloadPlan("org/tiny", { ...at, revision: "v2" }),
      failure(code, ...says),
    );
  });
}

test("a file that a commit lacks is named", async (t) => {
  const { hub, at } = await hubAndCache(t);
  await hub.add("org/tiny", { "config.json": "{}" });
  await assert.rejects(
    downloadPlan("org/tiny", at),
    failure("not-found", "Weights", "org/tiny at main"),
  );
  hub.fail({ at: /resolve/, status: 404, headers: { "x-error-code": "EntryNotFound" } });
  await hub.add("org/tiny", baseFiles());
  await assert.rejects(
    snapshotDownload("org/tiny", at),
    failure("not-found", "File not found:", "in org/tiny at main"),
  );
});

test("passing failures are waited out, as long as the Hub asks", async (t) => {
  const { hub, at } = await hubAndCache(t);
  await hub.add("org/tiny", baseFiles());
  hub.fail({ at: /revision/, times: 1, status: 502 });
  hub.fail({ at: /tree/, times: 1, status: 429, headers: { "retry-after": "1" } });
  hub.fail({ at: /resolve/, times: 1, status: 503 });
  const started = performance.now();
  await snapshotDownload("org/tiny", at);
  assert(performance.now() - started > 990, "Retry-After is in seconds");
});

test("the token reaches the Hub and nobody else, no message and no error", async (t) => {
  const { hub, at } = await hubAndCache(t);
  await hub.add("me/private", baseFiles(), { isPrivate: true });
  await hub.add("org/gated", baseFiles(), { isGated: true });
  await assert.rejects(downloadPlan("me/private", at), failure("unauthorized", "me/private"));
  await assert.rejects(
    snapshotDownload("org/gated", at),
    failure("gated", "org/gated", "then sign in"),
  );
  const says = failure("gated", "the account that the token belongs to");
  await assert.rejects(snapshotDownload("org/gated", { ...at, token }), says);
  hub.reset();
  await snapshotDownload("me/private", { ...at, token });
  const byHost = (where: "hub" | "cdn"): (string | undefined)[] => [
    ...new Set(
      hub.requests
        .filter((each) => each.where === where)
        .map(({ headers }) => headers.authorization),
    ),
  ];
  assert.deepEqual(byHost("hub"), [`Bearer ${token}`]);
  assert.deepEqual(byHost("cdn"), [undefined]);

  hub.accounts.delete(token);
  const echo = { headers: { "x-error-message": `no token ${token} here` } };
  for (const fault of [
    {},
    { status: 403, ...echo },
    { status: 400, body: JSON.stringify({ error: token }) },
  ]) {
    hub.reset();
    if (fault.status !== undefined) hub.fail({ at: /./, ...fault });
    const error = await downloadPlan("me/other", { ...at, token }).then(
      () => assert.fail("no error"),
      asGraftError,
    );
    const told = JSON.stringify([error.message, error.details, error.stack]);
    assert(!told.includes(token), told);
  }
});

test("a revoked token says where a new one is had", async (t) => {
  const { hub, at } = await hubAndCache(t);
  hub.accounts.clear();
  const says = failure("unauthorized", "expired or been revoked", `${hub.url}/settings/tokens`);
  await assert.rejects(downloadPlan("me/private", { ...at, token }), says);
  await assert.rejects(whoAmI({ ...at, token }), says);
  await assert.rejects(whoAmI(at), failure("unauthorized", "No Hugging Face token"));
});

test("whoAmI tells the account and what its token may do", async (t) => {
  const { hub, at } = await hubAndCache(t);
  hub.accounts.set(token, { name: "me", role: "read" });
  assert.deepEqual(await whoAmI({ ...at, token }), {
    name: "me",
    organizations: [],
    canWrite: false,
  });
});

test("settings come from the environment as huggingface_hub reads it", async (t) => {
  const home = await temporaryFolder(t);
  await writeFile(path.join(home, "token"), " hf_ofTheFile\n");
  const env = { HF_HOME: home, HF_ENDPOINT: "http://127.0.0.1:8/", HF_HUB_OFFLINE: "yes" };
  const of = async (options: object, more: object = {}): Promise<unknown[]> => {
    const {
      endpoint,
      token: found,
      cacheDir,
      offline,
    } = await hubSettings(options, { ...env, ...more });
    return [endpoint, found, cacheDir, offline];
  };
  const hub = path.join(home, "hub");
  assert.deepEqual(await of({}), ["http://127.0.0.1:8", "hf_ofTheFile", hub, true]);
  assert.deepEqual(await of({}, { HF_TOKEN: "hf_env" }), [
    "http://127.0.0.1:8",
    "hf_env",
    hub,
    true,
  ]);
  const elsewhere = {
    HF_TOKEN_PATH: path.join(home, "none"),
    HF_HUB_OFFLINE: "0",
    HF_HUB_CACHE: "/c",
  };
  assert.deepEqual(await of({ endpoint: "https://hub" }, elsewhere), [
    "https://hub",
    null,
    "/c",
    false,
  ]);
  assert.equal((await of({ token: false }))[1], null);
  assert.equal((await of({ token: "hf_own" }))[1], "hf_own");
  assert.equal((await of({}, { HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }))[1], null);
  assert.equal(
    (await of({ token: true }, { HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }))[1],
    "hf_ofTheFile",
  );
  await assert.rejects(of({ token: true }, elsewhere), failure("unauthorized", "HF_TOKEN"));
  await assert.rejects(of({ endpoint: "ftp://hub" }), failure("bad-request", "HF_ENDPOINT"));
});
