import assert from "node:assert/strict";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readEvents, RunLog } from "../../../extension/engine/training/runLog.ts";
import { joined, thinned } from "../../../extension/protocol/runSteps.ts";
import { runsHandlers } from "../../../extension/engine/training/handlers.ts";
import { claimFolder, releaseFolder } from "../../../extension/engine/training/processFile.ts";
import { createRun, listRuns, readRun } from "../../../extension/engine/training/runFolder.ts";
import { type RunControls, RunServer } from "../../../extension/engine/training/runServer.ts";
import { attach } from "../../../extension/training/attach.ts";
import type { RunConfig } from "../../../extension/protocol/trainingContract.ts";
import type { RunEvent } from "../../../extension/protocol/runsContract.ts";

const place = mkdtempSync(join(tmpdir(), "graft-runs-"));
after(() => rmSync(place, { recursive: true, force: true }));

function config(name: string): RunConfig {
  return {
    ...{ version: 1, name, base: "/models/tiny", samplePrompts: ["Who are you?"] },
    adapter: { kind: "new", config: { peft_type: "LORA", r: 8 } },
    data: { files: ["/data/a.jsonl"] },
    settings: {
      ...{ epochs: 1, batchSize: 2, gradientAccumulation: 1, learningRate: 1e-3, seed: 0 },
      ...{ schedule: "linear", warmupSteps: 0, optimizer: "adamw", weightDecay: 0 },
      ...{ maxGradientNorm: 1, groupByLength: false, gradientCheckpointing: false },
      ...{ evaluateEvery: 0, saveEvery: 0, keepCheckpoints: 2, earlyStopping: 0 },
    },
  };
}

const step = (at: number, loss: number) =>
  ({
    kind: "step",
    ...{ step: at, totalSteps: 9, epoch: 0, loss, learningRate: 1e-3 },
    ...{ gradientNorm: 1, tokensPerSecond: 10, secondsLeft: 5, memory: 1 },
  }) as const;

test("runs of one name get folders of their own, and what is no run is passed over", async () => {
  const parent = join(place, "one");
  const first = await createRun(parent, config("My pirate: r/8"));
  const second = await createRun(parent, config("My pirate: r/8"));
  assert.deepEqual(
    [first, second],
    [join(parent, "My-pirate-r-8"), join(parent, "My-pirate-r-8-2")],
  );
  mkdirSync(join(parent, "something else"));
  await assert.rejects(createRun(parent, config("../..")), { code: "bad-request" });
  const found = await listRuns([parent, parent, join(place, "nowhere")]);
  assert.deepEqual(found.map(({ folder }) => folder).sort(), [first, second]);
});

test("a run's summary is read off its log, broken lines or not", async () => {
  const folder = await createRun(join(place, "two"), config("logged"));
  const log = new RunLog(folder);
  log.append({ kind: "state", state: "running" });
  for (const at of [1, 2, 3]) log.append(step(at, 4 - at));
  appendFileSync(join(folder, "log.jsonl"), '{"kind":"step","st\n');
  const checkpoint = join(folder, "checkpoint-3");
  mkdirSync(checkpoint);
  log.append({ kind: "checkpoint", step: 3, path: checkpoint, isBest: true });
  appendFileSync(join(folder, "log.jsonl"), '{"at":"20');

  // Nobody has said that it ended, and no process is there.
  const { summary, events } = await readRun(folder);
  assert.equal(summary.state, "interrupted");
  assert.deepEqual(
    [summary.step, summary.totalSteps, summary.loss, summary.method, summary.adapter],
    [3, 9, 1, "LoRA", checkpoint],
  );
  assert.equal(events.length, 5);

  const server = await RunServer.listen({} as RunControls);
  const started = { version: 1, pid: process.pid, socket: server.path, startedAt: "" } as const;
  await claimFolder(folder, started);
  assert.equal((await readRun(folder)).summary.state, "running");
  await releaseFolder(folder);
  // An id that no process has.
  await claimFolder(folder, { ...started, pid: 2 ** 22 + 1 });
  assert.equal((await readRun(folder)).summary.process, null);
  await server.close();
  new RunLog(folder).append({ kind: "state", state: "finished" });
  assert.equal((await readRun(folder)).summary.state, "finished");
});

test("a config that cannot be read is said of its run, and refused before there is one", async () => {
  const parent = join(place, "three");
  const folder = await createRun(parent, config("broken"));
  writeFileSync(join(folder, "run.json"), JSON.stringify({ ...config("broken"), base: 3 }));
  const [summary] = await listRuns([parent]);
  assert.match(summary?.problem ?? "", /run\.json.*base/s);
  const bad = { ...config("bad"), settings: { ...config("bad").settings, batchSize: 0 } };
  const asked = async (): Promise<unknown> =>
    runsHandlers.createRun(
      { parent, config: bad },
      { emit: () => undefined, signal: AbortSignal.any([]) },
    );
  await assert.rejects(asked(), { code: "bad-file", message: /settings\.batchSize/ });
  assert(!existsSync(join(parent, "bad")));
});

test("what a run reported behind the checkpoint that it goes on from counts no more", async () => {
  const folder = await createRun(join(place, "again"), config("again"));
  const log = new RunLog(folder);
  log.append({ kind: "state", state: "running" });
  for (const at of [1, 2, 3, 4, 5]) log.append(step(at, 10 - at));
  log.append({ kind: "evaluation", step: 5, epoch: 0, loss: 1, isBest: true, seconds: 0 });
  log.append({ kind: "state", state: "preparing" });
  log.append({ kind: "state", state: "running", from: 3 });
  const { summary, events } = await readRun(folder);
  const steps = (of: RunEvent[]): number[] =>
    of.flatMap((event) => (event.kind === "step" ? [event.step] : []));
  assert.deepEqual([summary.step, summary.loss, steps(events)], [3, 7, [1, 2, 3]]);
  assert(!events.some(({ kind }) => kind === "evaluation"));
  for (const at of [4, 5]) log.append(step(at, 1));
  const later = await readRun(folder);
  assert.deepEqual([later.summary.loss, steps(later.events)], [1, [1, 2, 3, 4, 5]]);
  // Pages that watched all of it end with the same.
  const told: RunEvent[] = [];
  for await (const event of readEvents(folder)) told.push(event);
  assert.deepEqual(joined(told.slice(0, 8), told.slice(8)), later.events);
});

test("a checkpoint that was removed is not offered any more", async () => {
  const folder = await createRun(join(place, "kept"), config("kept"));
  const log = new RunLog(folder);
  const checkpoint = (at: number, kept: number[]) =>
    ({ kind: "checkpoint", step: at, path: `checkpoint-${at}`, isBest: false, kept }) as const;
  log.append(checkpoint(2, [2]));
  log.append(checkpoint(4, [2, 4]));
  log.append(checkpoint(6, [2, 6]));
  const { events } = await readRun(folder);
  assert.deepEqual(
    events.flatMap((event) => (event.kind === "checkpoint" ? [event.step] : [])),
    [2, 6],
  );
});

test("a list of runs reads the ends of their logs alone", async () => {
  const parent = join(place, "long");
  const folder = await createRun(parent, {
    ...config("long"),
    settings: { ...config("long").settings, evaluateEvery: 1000 },
  });
  const log = new RunLog(folder);
  log.append({ kind: "state", state: "preparing" });
  const first = readFileSync(join(folder, "log.jsonl"), "utf8");
  const line = (event: object): string => `${JSON.stringify({ at: "2026-01-01", ...event })}\n`;
  const evaluation = {
    kind: "evaluation",
    step: 1500,
    epoch: 0,
    loss: 0.5,
    isBest: true,
    seconds: 0,
  };
  const lines = [
    // What is not read need not be whole.
    "not an event\n".repeat(50_000),
    line(evaluation),
    ...Array.from({ length: 900 }, (_, i) => line(step(1501 + i, 2))),
  ];
  appendFileSync(join(folder, "log.jsonl"), lines.join(""));
  const [summary] = await listRuns([parent]);
  assert.deepEqual(
    [summary?.step, summary?.loss, summary?.evaluationLoss, summary?.state],
    [2400, 2, 0.5, "interrupted"],
  );
  assert.equal(summary?.startedAt, (JSON.parse(first) as RunEvent).at);
  assert.equal(summary.endedAt, "2026-01-01");
});

test("a run that came to its end offers the adapter itself, one that did not its last checkpoint", async () => {
  const folder = await createRun(join(place, "ended"), config("ended"));
  mkdirSync(join(folder, "checkpoint-8"));
  mkdirSync(join(folder, "checkpoint-16"));
  writeFileSync(join(folder, "adapter_config.json"), "{}");
  const log = new RunLog(folder);
  log.append({ kind: "state", state: "stopped" });
  assert.equal((await readRun(folder)).summary.adapter, join(folder, "checkpoint-16"));
  log.append({ kind: "state", state: "finished" });
  assert.equal((await readRun(folder)).summary.adapter, folder);
});

test("one bad step among many is not thinned away", () => {
  const events = Array.from(
    { length: 10_000 },
    (_, at) => ({ at: "", ...step(at + 1, at === 5678 ? 99 : 1) }) as RunEvent,
  );
  const left = thinned(events, 200);
  assert(left.length <= 201);
  const losses = left.flatMap((event) => (event.kind === "step" ? [event.loss] : []));
  assert.equal(Math.max(...losses), 99);
  // What was thinned and has grown since is thinned evenly again.
  const grown = thinned([...thinned(events.slice(0, 9000), 200), ...events.slice(9000)], 200);
  const late = grown.filter((event) => event.kind === "step" && event.step > 9000).length;
  assert(late < 40, `${late} of the last tenth`);
});

test("of many steps an even part is left, the last always, and nothing else is", () => {
  const events = Array.from(
    { length: 1000 },
    (_, at) => ({ at: "", ...step(at + 1, 1) }) as RunEvent,
  );
  events.splice(500, 0, { at: "", kind: "state", state: "paused" });
  const left = thinned(events, 10);
  assert.equal(left.length, 11);
  assert.equal(left.at(-1), events.at(-1));
  assert(left.some(({ kind }) => kind === "state"));
  assert.deepEqual(
    thinned(events, 0).map(({ kind }) => kind),
    ["state", "step"],
  );
});

test("windows attach to a run, watch it, and leave it alone when they go", async () => {
  const wishes: string[] = [];
  const controls: RunControls = {
    ...{ state: "running", step: 7 },
    pause: () => void wishes.push("pause"),
    resume: () => void wishes.push("resume"),
    stop: (what) => void wishes.push(`stop ${what}`),
    saveCheckpoint: () => void wishes.push("save"),
  };
  const server = await RunServer.listen(controls);
  const process_ = { version: 1, pid: process.pid, socket: server.path, startedAt: "" } as const;
  const [one, other] = [await attach(process_), await attach(process_)];
  const heard: string[] = [];
  const onEvent = ({ kind }: RunEvent): void => void heard.push(kind);
  const watched = [one, other].map(({ connection }) =>
    connection.request("watch", null, { onEvent }),
  );
  await one.connection.request("pause", null);
  await one.connection.request("stop", { what: "keep" });
  one.close();
  await assert.rejects(watched[0] as Promise<unknown>, { code: "engine-gone" });
  server.tell({ at: "", kind: "state", state: "stopped" });
  await server.close();
  assert.deepEqual(await watched[1], { state: "running" });
  assert.deepEqual(wishes, ["pause", "stop keep"]);
  assert.equal(heard.at(-1), "state");
  await assert.rejects(attach({ ...process_, socket: server.path }), Error);
});

test("a run of another process, or one that says nothing, is not taken for it", async () => {
  const server = await RunServer.listen({} as RunControls);
  const known = { version: 1, pid: 1, socket: server.path, startedAt: "" } as const;
  await assert.rejects(attach(known), { code: "engine-gone" });
  const socket = connect(server.path);
  await once(socket, "connect");
  socket.destroy();
  await server.close();
  const lines: RunEvent[] = [];
  for await (const event of readEvents(join(place, "nowhere"))) lines.push(event);
  assert.deepEqual(lines, []);
});
