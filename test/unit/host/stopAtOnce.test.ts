import assert from "node:assert/strict";
import { test } from "node:test";
import { stopAtOnce } from "../../../extension/stopAtOnce.ts";

/** An answer that ends when `end` is called, as an engine's that is in a long part of a prompt. */
function slow(): { asked: () => Promise<string>; end(text: string): void; fail(): void } {
  let [resolve, reject] = [(_: string): void => undefined, (_: Error): void => undefined];
  const promise = new Promise<string>((done, fail) => ([resolve, reject] = [done, fail]));
  return {
    asked: () => promise,
    end: (text) => resolve(text),
    fail: () => reject(new Error("gone")),
  };
}

test("an answer that is stopped in its prompt ends before the engine has heard of it", async () => {
  const stop = new AbortController();
  const { asked, fail } = slow();
  const answer = stopAtOnce({ signal: stop.signal }, asked, { stopped: () => "stopped", wait: 0 });
  stop.abort();
  assert.equal(await answer, "stopped");
  // What the engine says of it later is nobody's error.
  fail();
  await new Promise((done) => setImmediate(done));
});

test("where something was written, the engine's own end counts", async () => {
  const stop = new AbortController();
  const { asked, end } = slow();
  const heard: string[] = [];
  const options = { signal: stop.signal, onEvent: (text: string) => heard.push(text) };
  const answer = stopAtOnce<string, string>(
    options,
    (own) => {
      own.onEvent?.("so far");
      return asked();
    },
    { stopped: () => "stopped", wait: 0 },
  );
  stop.abort();
  setTimeout(() => end("so far, cancelled"), 5);
  assert.equal(await answer, "so far, cancelled");
  assert.deepEqual(heard, ["so far"]);
});

test("without a stop, and with an error, it is the engine's answer", async () => {
  const { signal } = new AbortController();
  const { asked, end } = slow();
  end("whole");
  const stopped = (): string => assert.fail("nobody stopped it");
  assert.equal(await stopAtOnce({ signal }, asked, { stopped }), "whole");
  const broken = slow();
  broken.fail();
  await assert.rejects(stopAtOnce({ signal }, broken.asked, { stopped }), /gone/);
});
