// What goes wrong while a run trains: nothing that was saved is lost, and the run says what happened.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  claimFolder,
  readProcess,
  releaseFolder,
} from "../../../extension/engine/training/processFile.ts";
import { createRun, listRuns, readRun } from "../../../extension/engine/training/runFolder.ts";
import { readEvents, RunLog } from "../../../extension/engine/training/runLog.ts";
import { trainIn } from "../../../extension/engine/training/runProcess.ts";
import { type RunControls, RunServer } from "../../../extension/engine/training/runServer.ts";
import type { RunConfig } from "../../../extension/protocol/trainingContract.ts";
import type { RunEvent } from "../../../extension/protocol/runsContract.ts";
import { attach } from "../../../extension/training/attach.ts";
import { runRow } from "../../../extension/views/runRows.ts";
import {
  pirateData,
  sampleBase,
  sampleRun,
  type SampleWish,
  storyOf,
} from "../../support/sampleRun.ts";
import { bundle, bundleEnvironment } from "./bundle.ts";
import { smallDisk } from "../../support/smallDisk.ts";

const place = mkdtempSync(join(tmpdir(), "graft-faults-"));
after(() => rmSync(place, { recursive: true, force: true }));

const make = (name: string, wish: SampleWish = {}): Promise<string> =>
  createRun(place, sampleRun(name, wish));

function rewrite(folder: string, wish: SampleWish): void {
  const file = join(folder, "run.json");
  const { name } = JSON.parse(readFileSync(file, "utf8")) as RunConfig;
  writeFileSync(file, JSON.stringify(sampleRun(name, wish)));
}

/** The last that a run says of itself. */
async function lastWord(folder: string): Promise<{ state: string; message: string; code: string }> {
  const { events } = await readRun(folder);
  const last = events.findLast((event) => event.kind === "state");
  return { state: last?.state ?? "", message: last?.message ?? "", code: last?.code ?? "" };
}

function adapterIn(folder: string): Buffer {
  return readFileSync(join(folder, "adapter_model.safetensors"));
}

/** A run of eight steps that nothing disturbs. */
const undisturbed = make("undisturbed").then(async (folder) => {
  assert.equal(await trainIn(folder), 0);
  return folder;
});

async function eventually<T>(what: string, ask: () => Promise<T | null>): Promise<T> {
  for (const start = Date.now(); Date.now() - start < 60_000; await delay(20)) {
    const answer = await ask().catch(() => null);
    if (answer !== null) return answer;
  }
  throw new Error(`waited in vain: ${what}`);
}

test("a checkpoint without room lets the run wait, and it goes on as if nothing had been", async (t) => {
  const whole = await undisturbed;
  const disk = smallDisk(t, "300k");
  if (!disk) return;
  const folder = await createRun(disk.folder, sampleRun("full"));
  const training = trainIn(folder);
  const { connection, close } = await eventually("the run listens", async () => {
    const known = await readProcess(folder);
    return known && attach(known);
  });
  const paused = await eventually("it waits", async () => {
    const { summary } = await readRun(folder);
    return summary.state === "paused" ? summary : null;
  });
  assert.match(paused.message ?? "", /no room for .*checkpoint-\d+.*Make room/);
  assert(paused.adapter !== null && existsSync(join(paused.adapter, "graft_state.json")));
  disk.grow("4m");
  await connection.request("resume", null);
  assert.equal(await training, 0);
  close();
  const { events } = await readRun(folder);
  const steps = storyOf(events).filter((word) => word.startsWith("step"));
  assert.deepEqual(
    steps,
    [1, 2, 3, 4, 5, 6, 7, 8].map((at) => `step ${at}`),
  );
  assert(adapterIn(folder).equals(adapterIn(whole)));
});

test("a run that is stopped while its disk is full fails, and goes on from what was saved", async (t) => {
  const whole = await undisturbed;
  const disk = smallDisk(t, "300k");
  if (!disk) return;
  const folder = await createRun(disk.folder, sampleRun("stopped"));
  const training = trainIn(folder);
  const { connection, close } = await eventually("the run listens", async () => {
    const known = await readProcess(folder);
    return known && attach(known);
  });
  await eventually("it waits", async () =>
    (await readRun(folder)).summary.state === "paused" ? true : null,
  );
  disk.fill();
  await connection.request("stop", { what: "keep" });
  assert.equal(await training, 1);
  close();
  const { state, message, code } = await lastWord(folder);
  assert.deepEqual([state, code], ["failed", "disk-full"]);
  assert.match(message, /Make room and continue/);
  disk.empty();
  disk.grow("4m");
  assert.equal(await trainIn(folder), 0);
  assert(adapterIn(folder).equals(adapterIn(whole)));
});

test("a log without room keeps its lines until there is some, and the last word in any case", async (t) => {
  const disk = smallDisk(t, "64k");
  if (!disk) return;
  const log = new RunLog(disk.folder);
  const step = (at: number): RunEvent =>
    log.append({
      ...{ kind: "step", step: at, totalSteps: 9, epoch: 0, loss: 1, learningRate: 1 },
      ...{ gradientNorm: 1, tokensPerSecond: 1, secondsLeft: 1, memory: 1 },
    });
  const read = async (): Promise<string[]> => {
    const events: RunEvent[] = [];
    for await (const event of readEvents(disk.folder)) events.push(event);
    return storyOf(events);
  };
  step(1);
  disk.fill();
  // Until the block that the log has is full.
  for (let at = 2; at <= 40; at++) step(at);
  const before = await read();
  assert(before.length < 40 && before.length > 0, `${before.length} lines found room`);
  disk.empty();
  step(41);
  assert.deepEqual(
    await read(),
    Array.from({ length: 41 }, (_, at) => `step ${at + 1}`),
  );
  disk.fill();
  for (let at = 42; at <= 200; at++) step(at);
  log.append({ kind: "state", state: "failed", message: "There is no room." });
  log.close();
  assert.equal((await read()).at(-1), "failed");
});

test("a loss that is no number ends the run, which says so, with its checkpoints whole", async () => {
  const settings = { learningRate: 1e37, schedule: "constant", maxGradientNorm: 0 } as const;
  const folder = await make("diverged", { settings: { ...settings, saveEvery: 1 } });
  assert.equal(await trainIn(folder), 1);
  const { message } = await lastWord(folder);
  assert.match(message, /at step \d+\. Nothing of this step was kept.*lower learning rate/);
  const [row] = (await listRuns([place])).filter((run) => run.folder === folder).map(runRow);
  assert.match(row?.description ?? "", /^failed/);
  assert.match(row?.facts.find(([name]) => name === "State")?.[1] ?? "", /^failed: .*at step/);
  assert(!existsSync(join(folder, "adapter_model.safetensors")));
});

test("data with broken records is refused line by line, and learned from without them when told so", async () => {
  const file = join(place, "broken.jsonl");
  const good = readFileSync(pirateData, "utf8").split("\n").slice(0, 12);
  writeFileSync(
    file,
    [good[0], '{"prompt": "Hi"', ...good.slice(1), '{"prompt": "Hi"}'].join("\n"),
  );
  const folder = await make("broken", { data: { files: [file] } });
  assert.equal(await trainIn(folder), 1);
  const { message } = await lastWord(folder);
  assert.match(message, /2 broken records/);
  assert.match(message, /broken\.jsonl:2:.*\n.*broken\.jsonl:14:/);
  rewrite(folder, { data: { files: [file], skipBroken: true } });
  assert.equal(await trainIn(folder), 0);
  const data = (await readRun(folder)).events.findLast((event) => event.kind === "data");
  assert.equal(data?.preview.broken, 2);
});

test("a damaged checkpoint is named and passed over, and one that is not damaged is not lost to it", async () => {
  const whole = await undisturbed;
  const folder = await make("damaged", { settings: { maxSteps: 6, keepCheckpoints: 2 } });
  assert.equal(await trainIn(folder), 0);
  truncateSync(join(folder, "checkpoint-6/optimizer.pt"), 100);
  rewrite(folder, { settings: { maxSteps: 7, keepCheckpoints: 2, saveEvery: 1 } });
  // Its schedule is another with other steps: the run is only looked at, not compared.
  assert.equal(await trainIn(folder), 0);
  const { events } = await readRun(folder);
  const notes = events.flatMap((event) => (event.kind === "note" ? [event.text] : []));
  assert.match(
    notes.join("\n"),
    /checkpoint-6 was passed over: optimizer\.pt is not what was written\./,
  );
  const again = storyOf(events).slice(storyOf(events).lastIndexOf("preparing"));
  assert.deepEqual(
    again.filter((word) => /^(step|checkpoint)/.test(word)),
    // The limit of two has taken checkpoint 5 away.
    ["step 5", "step 6", "checkpoint 6", "step 7", "checkpoint 7"],
  );

  for (const name of ["checkpoint-6", "checkpoint-7"]) {
    appendFileSync(join(folder, name, "adapter_model.safetensors"), "x");
  }
  rewrite(folder, {});
  assert.equal(await trainIn(folder), 0);
  assert.match(JSON.stringify((await readRun(folder)).events), /No checkpoint is whole/);
  assert(adapterIn(folder).equals(adapterIn(whole)));
});

test("a run goes on with the base, data and config of its checkpoint alone", async () => {
  const base = join(place, "base");
  cpSync(sampleBase, base, { recursive: true });
  const file = join(place, "texts.jsonl");
  cpSync(pirateData, file);
  const at = { base, data: { files: [file] } };
  const folder = await make("changed", { ...at, settings: { maxSteps: 4 } });
  assert.equal(await trainIn(folder), 0);
  const refused = async (wish: SampleWish, expected: RegExp): Promise<void> => {
    rewrite(folder, { ...at, ...wish });
    assert.equal(await trainIn(folder), 1);
    const { state, message } = await lastWord(folder);
    assert.equal(state, "failed");
    assert.match(message, expected);
  };
  const texts = readFileSync(file);
  writeFileSync(file, texts.subarray(0, texts.lastIndexOf("\n", texts.length - 2) + 1));
  await refused({}, /data is not what .*checkpoint-4 was trained on: texts\.jsonl/);
  writeFileSync(file, texts);
  await refused({ data: { ...at.data, maxLength: 20 } }, /data is not what/);
  const weights = join(base, "model.safetensors");
  const bytes = readFileSync(weights);
  const other = Buffer.from(bytes);
  other.writeFloatLE(0.5, other.length - 4);
  writeFileSync(weights, other);
  await refused({}, /another base than .*base is now/);
  writeFileSync(weights, bytes);
  const more = { peft_type: "LORA", task_type: "CAUSAL_LM", r: 8, lora_alpha: 32 };
  const config = { ...more, target_modules: ["q_proj", "v_proj"], lora_dropout: 0.05 };
  await refused({ adapter: { kind: "new", config } }, /another config: .*r was 4 and is 8/);
  await refused({ base: join(place, "nowhere") }, /nowhere.*new place as “base” in run\.json/);

  rewrite(folder, { ...at, settings: { batchSize: 3 } });
  assert.equal(await trainIn(folder), 0);
  const { events } = await readRun(folder);
  assert.match(JSON.stringify(events), /batchSize 2, this run has 3/);
});

test("a process id alone is no run: something must listen, and of two that start one trains", async () => {
  const folder = await make("claimed");
  const { path, close } = await listening();
  const own = { version: 1, pid: process.pid, socket: path, startedAt: "" } as const;
  const left = JSON.stringify({ ...own, socket: join(tmpdir(), "graft-run-1-gone.sock") });
  writeFileSync(join(folder, "process.json"), left);
  new RunLog(folder).append({ kind: "state", state: "running" });
  assert.equal((await readRun(folder)).summary.state, "interrupted");

  const other = await listening();
  const wishes = [own, { ...own, socket: other.path }, own, { ...own, socket: other.path }];
  const ends = await Promise.allSettled(wishes.map((wish) => claimFolder(folder, wish)));
  assert.equal(ends.filter(({ status }) => status === "fulfilled").length, 1, JSON.stringify(ends));
  assert.notEqual(await readProcess(folder), null);
  await assert.rejects(trainIn(folder), { code: "bad-request", message: /trains in .* already/ });
  await releaseFolder(folder);
  // What is half written holds nobody up for long.
  writeFileSync(join(folder, "process.json"), "");
  await claimFolder(folder, own);
  await releaseFolder(folder);
  // A folder that came from elsewhere names no socket that is not a run's.
  writeFileSync(
    join(folder, "process.json"),
    JSON.stringify({ ...own, socket: "/run/docker.sock" }),
  );
  assert.equal(await readProcess(folder), null);
  await Promise.all([close(), other.close()]);
});

async function listening(): Promise<{ path: string; close(): Promise<void> }> {
  const server = await RunServer.listen({ state: "running", step: 1 } as RunControls, 20);
  return { path: server.path, close: () => server.close() };
}

test("a run whose socket is taken away makes another one in its place", async () => {
  const { path, close } = await listening();
  rmSync(path);
  const known = { version: 1, pid: process.pid, socket: path, startedAt: "" } as const;
  const link = await eventually("it listens again", () => attach(known));
  link.close();
  await close();
  assert(!existsSync(path));
});

test("a run goes on when the window that started it is killed", async (t) => {
  const whole = await undisturbed;
  const folder = await make("left alone");
  const launch = await bundle("extension/training/launch.ts", t);
  const program = await bundle("extension/engine/main.ts", t);
  const window = `
    const { launchRun } = require(${JSON.stringify(launch)});
    const at = ${JSON.stringify({ program, l10n: "", tokens: "" })};
    void launchRun(${JSON.stringify(folder)}, at).then(() => console.log("started"));
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ["-e", window], {
    env: bundleEnvironment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  const end = await eventually("it finishes", async () => {
    const { summary } = await readRun(folder);
    return summary.process === null && summary.state !== "interrupted" ? summary : null;
  });
  assert.equal(end.state, "finished");
  assert(adapterIn(folder).equals(adapterIn(whole)));
});
