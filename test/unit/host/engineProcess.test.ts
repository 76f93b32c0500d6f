import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { afterEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { EngineProcess, type EngineOptions } from "../../../extension/engineProcess.ts";

const script = fileURLToPath(new URL("./fakeEngine.mjs", import.meta.url));
const sampling = { temperature: 0, maxNewTokens: 1, topP: 1, topK: 0, repetitionPenalty: 1 };
const endless = {
  base: "b",
  prompt: { kind: "text", text: "" },
  sampling: { ...sampling, seed: null },
} as const;

let engine: EngineProcess | undefined;
afterEach(() => engine?.dispose());

function start(change: Partial<EngineOptions> = {}, behaviour = ""): { events: string[] } {
  const events: string[] = [];
  const quiet = { info: () => {}, warn: () => {}, error: () => {} };
  engine = new EngineProcess({
    fork: () =>
      fork(script, [], {
        stdio: ["ignore", "pipe", "pipe", "ipc"],
        execArgv: [],
        env: { ...process.env, FAKE_ENGINE: behaviour },
      }),
    log: quiet,
    restore: async () => void events.push("restore"),
    onState: (state) => events.push(state),
    onRestarted: ({ crash, problem }) => events.push(`restarted ${crash ?? "-"} ${problem ?? "-"}`),
    onGaveUp: (reason) => events.push(`gave up: ${reason}`),
    delays: [5, 10],
    ...change,
  });
  return { events };
}

const code = (expected: string) => (thrown: unknown) =>
  (thrown as { code?: string }).code === expected;

function die(): Promise<unknown> {
  assert(engine);
  return assert.rejects(engine.request("unloadBaseModel", { base: "die" }), code("engine-gone"));
}

test("starts when first needed, not before", async () => {
  const { events } = start();
  assert.equal(engine?.state, "stopped");
  await engine?.request("unloadBaseModel", { base: "x" });
  assert.deepEqual(events, ["starting", "ready"]);
});

test("a crash rejects what is pending, and the engine comes back with what it had", async () => {
  const { events } = start();
  await engine?.request("unloadBaseModel", { base: "x" });
  const pending = assert.rejects(engine!.request("generate", endless), code("engine-gone"));
  await die();
  await pending;
  // Asked while it restarts: waits, and is answered.
  await engine?.request("unloadBaseModel", { base: "x" });
  const after = ["restarting", "restore", "ready", "restarted signal SIGKILL -"];
  assert.deepEqual(events, ["starting", "ready", ...after]);
});

test("three crashes within a minute are enough; the user can start it again", async () => {
  const { events } = start();
  for (let i = 0; i < 3; i++) await die();
  assert.equal(events.at(-1), "gave up: signal SIGKILL");
  assert.equal(engine?.state, "failed");
  await assert.rejects(engine!.request("unloadBaseModel", { base: "x" }), code("engine-gone"));
  await engine?.restart();
  assert.equal(engine?.state, "ready");
  await engine?.request("unloadBaseModel", { base: "x" });
});

test("an engine that cannot start fails the requests that wait for it", async () => {
  const { events } = start({}, "dies");
  await assert.rejects(engine!.request("unloadBaseModel", { base: "x" }), code("engine-gone"));
  assert.equal(events.at(-1), "gave up: exit code 3");
});

test("an engine of another version is not retried", async () => {
  const { events } = start({}, "other-version");
  await assert.rejects(engine!.request("unloadBaseModel", { base: "x" }), code("engine-gone"));
  assert.deepEqual(events, ["starting", "failed", "gave up: The engine speaks version 9."]);
});

test("what cannot be brought back is said, and the engine is usable", async () => {
  const restore = (): Promise<void> => Promise.reject(new Error("the base is gone"));
  const { events } = start({ restore });
  await die();
  await engine?.request("unloadBaseModel", { base: "x" });
  assert.equal(events.at(-1), "restarted signal SIGKILL the base is gone");
});

test("cancelling while the engine starts or works ends the request", async () => {
  start();
  const controller = new AbortController();
  const early = engine!.request("generate", endless, { signal: controller.signal });
  controller.abort();
  await assert.rejects(early, code("cancelled"));
  await engine?.request("unloadBaseModel", { base: "x" });
  const second = new AbortController();
  const late = engine!.request("generate", endless, { signal: second.signal });
  setTimeout(() => second.abort(), 20);
  await assert.rejects(late, code("cancelled"));
});
