import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { ChangeQueue, type FoundChanges, heldBy } from "../../../extension/changeQueue.ts";
import { mergeRescan, withRead } from "../../../extension/rescan.ts";
import { adapter, base } from "./samples.ts";

/** A queue over a clock that the test moves, and what it was told to look at. */
function start(look: () => Promise<void> = () => Promise.resolve()): {
  queue: ChangeQueue;
  looks: FoundChanges[];
  wait(ms: number): Promise<void>;
} {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const looks: FoundChanges[] = [];
  const queue = new ChangeQueue((changes) => {
    looks.push(changes);
    return look();
  });
  const wait = async (ms: number): Promise<void> => {
    mock.timers.tick(ms);
    for (let i = 0; i < 5; i++) await Promise.resolve();
  };
  return { queue, looks, wait };
}

test("files of one adapter are one look, after a pause", async () => {
  const { queue, looks, wait } = start();
  queue.file("/w/pirate/adapter_config.json");
  await wait(400);
  queue.file("/w/pirate/adapter_model.safetensors");
  queue.file("/w/export/onnx/model.onnx");
  await wait(400);
  assert.deepEqual(looks, []);
  await wait(200);
  assert.deepEqual(looks, [{ folders: ["/w/pirate", "/w/export"], trees: [], isAll: false }]);
  await wait(5000);
  assert.equal(looks.length, 1);
});

test("what never pauses is looked at all the same, every few seconds", async () => {
  const { queue, looks, wait } = start();
  for (let i = 0; i < 70; i++) {
    queue.file("/w/run/model.safetensors");
    await wait(100);
  }
  assert.equal(looks.length, 2);
});

test("two looks never run at once; what comes meanwhile follows", async () => {
  let done = (): void => assert.fail();
  const { queue, looks, wait } = start(() => new Promise((resolve) => (done = resolve)));
  queue.file("/w/a/adapter_config.json");
  await wait(600);
  queue.file("/w/b/adapter_config.json");
  await wait(2000);
  assert.equal(looks.length, 1);
  done();
  await wait(0);
  await wait(600);
  assert.deepEqual(looks[1]?.folders, ["/w/b"]);
});

test("a storm is one look at everything; packages and scratch folders are nobody's business", async () => {
  const { queue, looks, wait } = start();
  for (let i = 0; i < 300; i++) queue.file(`/w/a${i}/config.json`);
  await wait(600);
  assert.equal(looks[0]?.isAll, true);
  queue.file("/w/node_modules/x/config.json");
  queue.file("/w/pirate/.graft-x1/new/adapter_config.json");
  queue.tree("/w/src/index.ts");
  await wait(5000);
  assert.equal(looks.length, 1);
  queue.tree("/w/runs");
  queue.tree("/w/run-1.5");
  await wait(600);
  assert.deepEqual(looks[1]?.trees, ["/w/runs", "/w/run-1.5"]);
  queue.file("/w/z/config.json");
  queue.dispose();
  await wait(5000);
  assert.equal(looks.length, 2);
});

test("of a deleted folder the adapters below it are known", () => {
  const known = ["/w/a", "/w/a/b", "/w/ab"];
  assert.deepEqual(heldBy("/w/a", known), ["/w/a", "/w/a/b"]);
});

test("what was looked at anew is right, the rest stays as and where it was", () => {
  const [a, b, c] = [adapter("a"), adapter("b"), adapter("c")];
  const onnx = { ...base, path: "/w/e/onnx/model.onnx" };
  const known = { adapters: [a, b], bases: [base, onnx] };
  const again = { ...a, bytes: 5 };
  const merged = mergeRescan(known, [a.path, b.path, c.path, "/w/e"], {
    adapters: [c, again],
    bases: [],
  });
  assert.deepEqual(merged.adapters, [again, c]);
  assert.deepEqual(merged.bases, [base]);
});

test("an adapter that is read later keeps the base that the user named", () => {
  const known = adapter("a", { basePath: "/chosen", isUnread: true });
  const [read] = withRead([known], [{ ...adapter("a"), basePath: null, parameters: 7 }]);
  assert.deepEqual([read?.basePath, read?.parameters, read?.isUnread], ["/chosen", 7, undefined]);
});
