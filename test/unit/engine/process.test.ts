import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import * as path from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import { Connection, type Transport } from "../../../extension/protocol/connection.ts";
import {
  type EngineContract,
  type EngineHostContract,
  protocolVersion,
} from "../../../extension/protocol/engineContract.ts";
import type {
  GenerateEvent,
  GenerateParams,
} from "../../../extension/protocol/generationContract.ts";
import { failure, sample } from "../core/support.ts";
import { bundle, bundleEnvironment } from "./bundle.ts";

const script = await bundle("extension/engine/main.ts", { after });

/** The engine as the host forks it. */
let child: ChildProcess;
let engine: Connection<EngineHostContract, EngineContract>;
let endless: GenerateParams;

beforeEach(async () => {
  child = fork(script, [], {
    execArgv: [],
    env: bundleEnvironment,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const transport: Transport = {
    send: (message) => void child.send(message as object),
    onMessage: (listen) => void child.on("message", listen),
    onClose: (listen) => void child.once("exit", (code, signal) => listen(`${signal ?? code}`)),
  };
  engine = new Connection(transport, {});
  const { path: base } = await engine.request("loadBaseModel", { path: path.join(sample, "base") });
  // Nothing ends it but the context's 256 tokens.
  const free = { temperature: 5, topP: 1, topK: 0, repetitionPenalty: 1, seed: 1 };
  const sampling = { ...free, maxNewTokens: 1000 };
  endless = { base, prompt: { kind: "text", text: "Once upon a time" }, sampling };
});

afterEach(() => void child.kill("SIGKILL"));

test("a real engine says hello, streams, and stops in mid-stream with what was said", async () => {
  const { pid, version } = await engine.request("hello", { version: protocolVersion });
  assert.deepEqual([pid, version], [child.pid, protocolVersion]);
  const controller = new AbortController();
  const events: GenerateEvent[] = [];
  const onEvent = (event: GenerateEvent): void => {
    events.push(event);
    if (event.tokens === 5) controller.abort();
  };
  const result = await engine.request("generate", endless, { onEvent, signal: controller.signal });
  assert.equal(result.finish, "cancelled");
  assert(result.tokens >= 5 && result.tokens < 200, `${result.tokens} tokens`);
  assert.equal(result.tokens, events.at(-1)?.tokens);
  assert(result.text.startsWith(events[4]?.text ?? "-"));
  const sampling = { ...endless.sampling, maxNewTokens: 3 };
  const next = await engine.request("generate", { ...endless, sampling });
  assert.deepEqual([next.tokens, next.finish], [3, "length"]);
  const load = engine.request("loadBaseModel", { path: "/none" });
  await assert.rejects(load, failure("not-found", "/none"));
});

test("an engine that is killed while it answers rejects what waits", async () => {
  const onEvent = ({ tokens }: GenerateEvent): void => void (tokens === 3 && child.kill("SIGKILL"));
  const gone = failure("engine-gone", "SIGKILL");
  const answers = [onEvent, undefined].map((listen) =>
    engine.request("generate", endless, { onEvent: listen }),
  );
  await Promise.all(answers.map((each) => assert.rejects(each, gone)));
  await assert.rejects(engine.request("hello", { version: protocolVersion }), gone);
});

test("an engine whose editor is gone ends, although it is at work", async () => {
  const working = assert.rejects(engine.request("generate", endless), failure("engine-gone"));
  setTimeout(() => child.disconnect(), 50);
  const [, signal] = (await once(child, "exit")) as [number | null, string | null];
  assert.equal(signal, null, "it ended by itself");
  await working;
});
