import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import type { RunSummary } from "../../../extension/protocol/runsContract.ts";
import { runsFolder } from "../../../extension/training/place.ts";
import { canContinue, formatLoss, runRow, runStatus } from "../../../extension/views/runRows.ts";

const process = { version: 1 as const, pid: 1, socket: "/s", startedAt: "" };

function run(change: Partial<RunSummary> = {}): RunSummary {
  return {
    ...{ folder: "/runs/pirate", name: "pirate", base: "/base", method: "LoRA" },
    ...{ state: "running", step: 42, totalSteps: 1200, loss: 1.23456, evaluationLoss: null },
    ...{ startedAt: null, endedAt: null, adapter: null, process },
    ...change,
  };
}

test("a row says how far a run is, and its context what can be done with it", () => {
  assert.equal(runRow(run()).description, "training · 42 of 1,200 · loss 1.235");
  const check = (change: Partial<RunSummary>, context: string): void =>
    assert.equal(runRow(run(change)).contextValue, context);
  check({}, "run.running");
  check({ state: "paused", adapter: "/a" }, "run.paused.adapter");
  check({ state: "interrupted", process: null }, "run.ended");
  check({ state: "stopped", process: null, adapter: "/a" }, "run.ended.adapter");
  check({ state: "finished", process: null, adapter: "/a" }, "run.over.adapter");
  check({ state: "failed", process: null, problem: "Broken." }, "run.unreadable");
});

test("a folder that cannot be read says why, and cannot be continued", () => {
  const broken = run({ state: "failed", process: null, problem: "run.json is broken." });
  assert.equal(canContinue(broken), false);
  assert.deepEqual(runRow(broken).facts[0], ["State", "run.json is broken."]);
  assert.match(runRow(broken).description, /^cannot be read/);
});

test("a run that has taken no step tells no loss and no steps", () => {
  const fresh = run({ state: "preparing", step: 0, totalSteps: null, loss: null });
  assert.equal(runRow(fresh).description, "preparing");
  const prepared = { ...fresh, state: "interrupted", process: null } as const;
  assert.equal(runRow(prepared).description, "not started");
  assert.equal(runRow({ ...prepared, startedAt: "2026-01-01" }).description, "interrupted");
});

test("the status bar names one run, and counts several", () => {
  assert.equal(runStatus([]), null);
  const one = runStatus([run()]);
  assert.equal(one?.words, "pirate 3 % · loss 1.235");
  assert.equal(one.folder, "/runs/pirate");
  assert.equal(runStatus([run({ state: "paused" })])?.text.startsWith("$(debug-pause)"), true);
  const two = runStatus([run(), run({ folder: "/runs/other" })]);
  assert.equal(two?.words, "2 runs");
  assert.equal(two.folder, null);
});

test("a loss keeps four digits, however small it is", () => {
  assert.deepEqual([2.34567, 0.000123456, NaN].map(formatLoss), ["2.346", "0.0001235", "NaN"]);
});

test("runs are kept where the setting says: whole, from home, or in the workspace", () => {
  const places = { workspace: path.resolve("/work"), home: path.resolve("/home/me") };
  const check = (setting: string, expected: string, from = places): void =>
    assert.equal(runsFolder(setting, from), path.resolve(expected));
  check("", "/work/graft-runs");
  check(" ", "/home/me/graft-runs", { ...places, workspace: undefined as never });
  check("train", "/work/train");
  check("~/runs", "/home/me/runs");
  check("/elsewhere", "/elsewhere");
});
