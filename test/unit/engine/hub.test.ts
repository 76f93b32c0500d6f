import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { Library } from "../../../extension/engine/library.ts";
import { createService } from "../../../extension/engine/service.ts";
import type { EngineContract, ProgressEvent } from "../../../extension/protocol/engineContract.ts";
import { HubServer } from "../../support/hubServer.ts";
import { adapterOnHub, token } from "../core/hub/support.ts";
import { failure, sample, temporaryFolder } from "../core/support.ts";

const service = createService(new Library());

async function ask<M extends keyof EngineContract>(
  method: M,
  params: EngineContract[M]["params"],
  {
    events = [],
    signal = new AbortController().signal,
  }: { events?: unknown[]; signal?: AbortSignal } = {},
): Promise<EngineContract[M]["result"]> {
  const emit = (event: unknown): void => void events.push(event);
  return service[method](params, { emit, signal } as never);
}

test("the engine downloads only when it is told to, and pushes what was agreed to", async (t) => {
  const hub = await HubServer.start();
  t.after(() => hub.close());
  hub.accounts.set(token, { name: "me" });
  await hub.add("me/sample", path.join(sample, "base"), { isPrivate: true });
  await hub.add("graft/pirate", await adapterOnHub("lora-pirate", "me/sample"));
  process.env["HF_HUB_CACHE"] = await temporaryFolder({ after });
  t.after(() => delete process.env["HF_HUB_CACHE"]);
  const at = { endpoint: hub.url, token };

  await assert.rejects(
    ask("loadBaseModel", { path: "me/sample", hub: at }),
    failure("not-found", "me/sample"),
  );
  assert.equal(hub.requests.length, 0);
  assert.deepEqual(await ask("whoAmI", at), { name: "me", organizations: [], canWrite: true });
  const plan = await ask("planDownload", { ...at, id: "graft/pirate" });
  assert.equal(plan.base?.id, "me/sample");

  const stop = new AbortController();
  const events: ProgressEvent[] = [];
  const emit = {
    push: (event: ProgressEvent) => (
      (event.done ?? 0) > 200_000 && stop.abort(),
      events.push(event)
    ),
  };
  hub.fail({ at: /./, where: "cdn", bytesPerSecond: 2_000_000 });
  const cut = ask(
    "downloadFromHub",
    { ...at, id: "me/sample" },
    { events: emit as never, signal: stop.signal },
  );
  await assert.rejects(cut, failure("cancelled"));
  hub.faults.length = 0;
  const { path: base, name } = await ask("loadBaseModel", {
    path: "me/sample",
    hub: { ...at, download: true },
  });
  t.after(() => ask("unloadBaseModel", { base }));
  assert.equal(name, "sample");
  assert(
    hub.requests.some(({ headers }) => headers.range !== undefined),
    "it went on where it stopped",
  );

  const { models, base: id } = await ask("searchHub", { ...at, kind: "adapters", base });
  assert.deepEqual([id, models.map((each) => each.id)], ["me/sample", ["graft/pirate"]]);
  const fit = await ask("checkRemoteFit", { ...at, base, id: "graft/pirate" });
  assert.deepEqual([fit.fits, fit.rank], [true, 8]);
  const { folder } = await ask("downloadFromHub", { ...at, id: "graft/pirate" });
  const adapter = await ask("loadAdapter", { base, path: folder });
  assert.equal(adapter.name, "pirate");
  const push = { ...at, base, name: "pirate", repoId: "parrot" };
  const agreed = await ask("planPush", push);
  assert.deepEqual(
    [agreed.repoId, agreed.visibility, agreed.warnings],
    ["me/parrot", "private", []],
  );
  const pushed = await ask("pushToHub", { ...push, digest: agreed.digest });
  const repo = hub.repos.get("me/parrot") ?? assert.fail();
  assert.equal(repo.refs.get("main"), pushed.commit);
  const others = hub.requests.filter(
    ({ where, headers }) => where === "cdn" && headers.authorization !== undefined,
  );
  assert.deepEqual(others, []);
});
