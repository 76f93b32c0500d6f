import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { readProcess } from "../../../extension/engine/training/processFile.ts";
import { parseRunConfig } from "../../../extension/engine/training/runConfig.ts";
import { createRun, readRun } from "../../../extension/engine/training/runFolder.ts";
import { trainIn } from "../../../extension/engine/training/runProcess.ts";
import { attach, type RunLink } from "../../../extension/training/attach.ts";
import type { RunConfig } from "../../../extension/protocol/trainingContract.ts";
import type { RunEvent } from "../../../extension/protocol/runsContract.ts";
import { bundle, bundleEnvironment } from "./bundle.ts";

const place = mkdtempSync(join(tmpdir(), "graft-run-"));
after(() => rmSync(place, { recursive: true, force: true }));
const base = resolve("media/sample/base");

function config(name: string, settings: Partial<RunConfig["settings"]> = {}): RunConfig {
  const target = { target_modules: "all-linear", lora_dropout: 0.05 };
  return {
    ...{ version: 1, name, base, samplePrompts: ["What colour is the sky?"] },
    adapter: {
      kind: "new",
      config: { peft_type: "LORA", task_type: "CAUSAL_LM", r: 4, ...target },
    },
    data: { files: [resolve("media/sample/training/pirate.jsonl")], evaluationShare: 0.1 },
    settings: {
      ...{ epochs: 1, maxSteps: 8, batchSize: 8, gradientAccumulation: 1, learningRate: 1e-2 },
      ...{ seed: 0, schedule: "linear", warmupSteps: 0, optimizer: "adamw", weightDecay: 0 },
      ...{ maxGradientNorm: 1, groupByLength: false, gradientCheckpointing: false },
      ...{ evaluateEvery: 4, saveEvery: 2, keepCheckpoints: 2, earlyStopping: 0 },
      ...settings,
    },
  };
}

/** A window at a run, as soon as the run has a process. */
async function attached(folder: string): Promise<RunLink> {
  for (;;) {
    const process_ = await readProcess(folder);
    if (process_) return attach(process_);
    await delay(20);
  }
}

test("a run trains, is watched, paused and gone on with, and its adapter can be loaded", async () => {
  const folder = await createRun(place, config("whole"));
  const training = trainIn(folder);
  const { connection } = await attached(folder);
  const events: RunEvent[] = [];
  let paused: Promise<null> | undefined;
  let goneOn: Promise<null> | undefined;
  await connection.request("watch", null, {
    onEvent: (event) => {
      events.push(event);
      if (event.kind === "step" && event.step === 3) paused ??= connection.request("pause", null);
      const isPaused = event.kind === "state" && event.state === "paused";
      if (isPaused) goneOn ??= connection.request("resume", null);
    },
  });
  assert.equal(await training, 0);
  assert.deepEqual([await paused, await goneOn], [null, null]);
  const states = events
    .flatMap((event) => (event.kind === "state" ? [event.state] : []))
    .filter((state) => state !== "evaluating");
  const changes = states.filter((state, at) => state !== states[at - 1]);
  assert.deepEqual(changes.slice(-4), ["pausing", "paused", "running", "finished"]);
  const kinds = new Set(events.map(({ kind }) => kind));
  for (const kind of ["step", "evaluation", "sample", "checkpoint"] as const) {
    assert(kinds.has(kind), `nothing of kind ${kind} was reported`);
  }

  const { summary, config: kept } = await readRun(folder);
  assert.equal(summary.state, "finished");
  assert.deepEqual([summary.step, summary.totalSteps, summary.process], [8, 8, null]);
  assert.equal(kept.name, "whole");
  assert(!existsSync(join(folder, "process.json")), "process.json is left behind");
  const model = await PeftModel.fromPretrained(await loadBaseModel(base), folder);
  const samples = events.flatMap((event) => (event.kind === "sample" ? [event] : []));
  const messages = [{ role: "user", content: "What colour is the sky?" }] as const;
  const answered = await model.answer({ kind: "chat", messages }, { maxNewTokens: 64 });
  assert.deepEqual(
    [samples.at(-1)?.step, samples.at(-1)?.adapter],
    [8, answered.text],
    "the run's last sample is what its adapter answers",
  );
  assert.notEqual(samples.at(-1)?.base, answered.text);
  await model.base.session.dispose();
});

test("a run whose process is killed goes on from its last checkpoint to the same end", async (t) => {
  const whole = await createRun(place, config("never interrupted", { evaluateEvery: 0 }));
  assert.equal(await trainIn(whole), 0);
  const folder = await createRun(place, config("killed", { evaluateEvery: 0 }));
  const main = await bundle("extension/engine/main.ts", t);
  const child = spawn(process.execPath, [main, folder], {
    env: bundleEnvironment,
    stdio: "ignore",
  });
  const { connection } = await attached(folder);
  const isFar = new Promise<void>((done) => {
    void connection
      .request("watch", null, {
        onEvent: (event) => void (event.kind === "step" && event.step >= 5 && done()),
      })
      .catch(() => done());
  });
  await isFar;
  child.kill("SIGKILL");
  await once(child, "exit");
  const { summary } = await readRun(folder);
  assert.equal(summary.state, "interrupted");
  assert(summary.adapter !== null, "there is a checkpoint to go on from");

  assert.equal(await trainIn(folder), 0);
  const [one, other] = [whole, folder].map((each) =>
    readFileSync(join(each, "adapter_model.safetensors")),
  );
  assert(one && other && one.equals(other), "the adapters are not the same");
});

test("data that cannot be read fails a run with its place, and leaves nothing running", async () => {
  const broken = { ...config("broken"), data: { files: [join(place, "nothing.jsonl")] } };
  const folder = await createRun(place, broken);
  assert.equal(await trainIn(folder), 1);
  const { summary, events } = await readRun(folder);
  const last = events.at(-1);
  assert(last?.kind === "state" && last.state === "failed", JSON.stringify(last));
  assert.match(last.message ?? "", /nothing\.jsonl/);
  assert.equal(summary.process, null);
});

test("a run on a base in int4 ends with an adapter for the base itself; no such precision is told", async () => {
  const settings = { maxSteps: 2, evaluateEvery: 0 };
  const own = { ...config("int4", settings), dtype: "int4", samplePrompts: [] };
  const folder = await createRun(place, own);
  assert.equal(await trainIn(folder), 0);
  const text = readFileSync(join(folder, "adapter_config.json"), "utf8");
  const saved = JSON.parse(text) as { base_model_name_or_path: string };
  assert.equal(saved.base_model_name_or_path, base);
  assert.throws(() => parseRunConfig({ ...own, dtype: "int5" }, "run.json"), /run\.json.*dtype/);
});
