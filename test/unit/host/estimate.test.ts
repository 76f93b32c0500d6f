import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { EstimateParams, RunConfig } from "../../../extension/protocol/trainingContract.ts";
import { estimateApart } from "../../../extension/training/estimate.ts";

const script = fileURLToPath(new URL("./fakeEngine.mjs", import.meta.url));

function start(name: string): {
  child: ChildProcess;
  fork: () => ChildProcess;
  params: EstimateParams;
} {
  const child = fork(script, [], { stdio: ["ignore", "pipe", "pipe", "ipc"], execArgv: [] });
  return { child, fork: () => child, params: { config: { name } as RunConfig } };
}

test("an estimate has a process of its own, which is gone with the answer", async () => {
  const { child, fork: make, params } = start("measured");
  const steps: string[] = [];
  const exit = once(child, "exit");
  const estimate = await estimateApart(params, make, { onEvent: ({ step }) => steps.push(step) });
  assert.deepEqual([estimate.steps, steps], [7, ["measuring"]]);
  await exit;
});

test("a process that is ended by the system says that memory is short", async () => {
  const { fork: make, params } = start("dies");
  await assert.rejects(estimateApart(params, make, {}), { code: "no-memory", message: /SIGKILL/ });
});

test("an estimate that is cancelled ends its process", async () => {
  const { child, fork: make, params } = start("hangs");
  const exit = once(child, "exit");
  const controller = new AbortController();
  const asked = estimateApart(params, make, { signal: controller.signal });
  controller.abort();
  await assert.rejects(asked, { code: "cancelled" });
  await exit;
});
