import assert from "node:assert/strict";
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, before, test } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import { openTrainingBase, type TrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import { readTokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import { train, type TrainRequest, TrainingRun } from "../../../../extension/core/trainAdapter.ts";
import {
  checkpointsIn,
  lastWhole,
  removeOld,
  tidyCheckpoints,
} from "../../../../extension/core/train/checkpointFolder.ts";
import type { Split } from "../../../../extension/core/train/data/batch.ts";
import type { TrainingEvent } from "../../../../extension/core/train/events.ts";
import { trainingOptions } from "../../../../extension/core/train/options.ts";
import { stepGraph } from "../../../../extension/core/train/stepGraph.ts";
import { TrainingModel } from "../../../../extension/core/train/trainingModel.ts";
import { chatTexts, splitOf } from "../../../support/trainingData.ts";

const sample = path.join(import.meta.dirname, "../../../../media/sample");
const config = adapterConfigOf({
  peft_type: "LORA",
  task_type: "CAUSAL_LM",
  r: 4,
  lora_alpha: 8,
  lora_dropout: 0.1,
  target_modules: ["q_proj", "v_proj"],
});
const start = { kind: "new", config } as const;

let root = "";
let base: TrainingBase;
let data: Split;
let evaluation: Split;

before(async () => {
  root = await mkdtemp(path.join(tmpdir(), "graft-train-"));
  base = await openTrainingBase(path.join(sample, "base"));
  const tokenizer = await readTokenizer(path.join(sample, "base"));
  assert.ok(tokenizer);
  const texts = chatTexts(path.join(sample, "training/pirate.jsonl"), tokenizer);
  const short = texts.filter(({ ids }) => ids.length < 30);
  data = splitOf(short.slice(0, 13));
  evaluation = splitOf(short.slice(13, 17));
});

after(() => rm(root, { recursive: true, force: true }));

function request(name: string, more: Partial<TrainRequest> = {}): TrainRequest {
  return {
    base,
    adapter: start,
    data: { train: data, evaluation },
    folder: path.join(root, name),
    session: { threads: 1 },
    ...more,
    options: {
      batchSize: 2,
      gradientAccumulation: 2,
      maxSteps: 6,
      learningRate: 0.01,
      saveSteps: 2,
      schedule: { type: "cosine", warmupSteps: 2 },
      ...more.options,
    },
  };
}

function read(name: string, file: string): Promise<Buffer> {
  return readFile(path.join(root, name, file));
}

void test("a run that goes on from a checkpoint equals one that was never interrupted, bit for bit", async () => {
  const end = await train(request("whole"));
  assert.equal(end.finish, "done");
  await cp(path.join(root, "whole/checkpoint-2"), path.join(root, "again/checkpoint-2"), {
    recursive: true,
  });
  await train(request("again", { resume: true }));
  const files = [
    "adapter_model.safetensors",
    "checkpoint-6/optimizer.pt",
    "checkpoint-6/scheduler.pt",
    "checkpoint-6/trainer_state.json",
    "checkpoint-6/graft_state.json",
  ];
  for (const file of files) {
    assert.ok((await read("whole", file)).equals(await read("again", file)), file);
  }
});

void test("a checkpoint that was changed on disk is passed over, and said", async () => {
  await cp(path.join(root, "whole"), path.join(root, "damaged"), { recursive: true });
  const weights = path.join(root, "damaged/checkpoint-6/adapter_model.safetensors");
  await appendFile(weights, "x");
  const events: TrainingEvent[] = [];
  const onEvent = (event: TrainingEvent): void => void events.push(event);
  await train(request("damaged", { resume: true, onEvent }));
  const [note] = events;
  assert.ok(note?.kind === "note" && note.step === 4 && note.text.includes("checkpoint-6"));
  assert.ok(
    (await read("whole", "adapter_model.safetensors")).equals(
      await read("damaged", "adapter_model.safetensors"),
    ),
  );
});

void test("what was half written when a run died is no checkpoint", async () => {
  await cp(path.join(root, "whole/checkpoint-4"), path.join(root, "half/checkpoint-4"), {
    recursive: true,
  });
  await cp(path.join(root, "whole/checkpoint-6"), path.join(root, "half/.checkpoint-6.part"), {
    recursive: true,
  });
  const run = await TrainingRun.open(request("half", { resume: true }));
  assert.equal(run.trainer.history.step, 4);
  await run.train();
  await run.dispose();
  assert.deepEqual(
    (await readdir(path.join(root, "half"))).filter((name) => name.startsWith(".")),
    [],
  );
});

void test("a checkpoint that was being replaced when a run died is put back, half ones go", async () => {
  await cp(path.join(root, "whole/checkpoint-4"), path.join(root, "died/.checkpoint-4.old"), {
    recursive: true,
  });
  await cp(path.join(root, "whole/checkpoint-2"), path.join(root, "died/.checkpoint-4.part"), {
    recursive: true,
  });
  await tidyCheckpoints(path.join(root, "died"));
  assert.deepEqual(await readdir(path.join(root, "died")), ["checkpoint-4"]);
  assert.deepEqual((await lastWhole(path.join(root, "died"))).skipped, []);
});

void test("a loss that is no number ends the run before it is saved", async () => {
  const options = { learningRate: 3e38, saveSteps: 1, schedule: { type: "constant" } } as const;
  await assert.rejects(train(request("broken", { options })), (error: Error) => {
    assert.match(
      error.message,
      /at step \d+\. Nothing of this step was kept\. .*lower learning rate/,
    );
    return true;
  });
  const kept = await readdir(path.join(root, "broken"));
  assert.ok(!kept.includes("adapter_model.safetensors"));
});

void test("a run is paused, saved and stopped between its steps", async () => {
  const seen: string[] = [];
  const onEvent = (event: TrainingEvent): void => {
    seen.push(event.kind === "step" ? `step ${event.step}` : event.kind);
    if (event.kind === "step" && event.step === 1) run.trainer.pause();
    if (event.kind === "paused") setTimeout(() => run.trainer.resume());
    if (event.kind === "step" && event.step === 3) run.trainer.stop();
  };
  const options = { saveSteps: 0, evalSteps: 0 };
  const run = await TrainingRun.open(request("paused", { onEvent, options }));
  const end = await run.train();
  await run.dispose();
  assert.equal(end.finish, "stopped");
  const expected = "step 1,checkpoint,paused,resumed,step 2,step 3,checkpoint";
  assert.equal(seen.join(), expected);
});

void test("a run whose evaluation no longer falls ends early, and keeps its best checkpoint", async () => {
  const options = {
    learningRate: 1e-12,
    evalSteps: 1,
    saveSteps: 1,
    saveTotalLimit: 2,
    earlyStopping: { patience: 2, threshold: 0.1 },
  };
  const end = await train(request("early", { options }));
  assert.deepEqual([end.finish, end.step], ["early", 3]);
  const names = await readdir(path.join(root, "early"));
  assert.ok(names.includes(`checkpoint-${end.bestStep}`) && names.includes("checkpoint-3"));
  assert.equal(names.filter((name) => name.startsWith("checkpoint-")).length, 2);
});

void test("the adapter at the end is the best evaluation's, which is saved whenever it is found", async () => {
  // A rate at which the loss soon rises again.
  const rising = { learningRate: 0.5, schedule: { type: "constant" }, maxSteps: 5 } as const;
  const options = { ...rising, evalSteps: 1, saveSteps: 0, loadBestModelAtEnd: true };
  const events: TrainingEvent[] = [];
  const onEvent = (event: TrainingEvent): void => void events.push(event);
  const end = await train(request("best", { options, onEvent }));
  const losses = events.flatMap((event) => (event.kind === "evaluation" ? [event.loss] : []));
  assert.equal(end.bestLoss, Math.min(...losses));
  assert.equal(end.bestStep, losses.indexOf(Math.min(...losses)) + 1);
  assert.ok((end.bestStep ?? 5) < 5, "the last step is not the best");
  const weights = "adapter_model.safetensors";
  const best = await read("best", `checkpoint-${end.bestStep}/${weights}`);
  assert.ok((await read("best", weights)).equals(best));
  assert.ok(!best.equals(await read("best", `checkpoint-5/${weights}`)));
  assert.ok(events.some((event) => event.kind === "note" && event.text.includes("the best")));
});

void test("what is learned last is evaluated too, before the best is chosen", async () => {
  const options = { maxSteps: 3, evalSteps: 2, saveSteps: 0, loadBestModelAtEnd: true };
  const seen: number[] = [];
  const onEvent = (event: TrainingEvent): void =>
    void (event.kind === "evaluation" && seen.push(event.step));
  await train(request("last", { options, onEvent }));
  assert.deepEqual(seen, [2, 3]);
});

void test("a limit of checkpoints leaves the best, the one just written and what is before it", async () => {
  const run = path.join(root, "limited");
  const make = async (...steps: number[]): Promise<void> => {
    await rm(run, { recursive: true, force: true });
    for (const step of steps)
      await mkdir(path.join(run, `checkpoint-${step}`), { recursive: true });
  };
  const check = async (
    limit: number,
    at: { written: number; best: number | null },
    expected: number[],
  ): Promise<void> => {
    await removeOld(run, limit, at);
    assert.deepEqual(
      (await checkpointsIn(run)).map(({ step }) => step),
      expected,
    );
  };
  await make(2, 4, 6, 8);
  await check(2, { written: 8, best: 2 }, [8, 2]);
  await make(2, 4, 6, 8);
  await check(1, { written: 8, best: 4 }, [8, 4]);
  // A best step that was not saved takes no place.
  await make(2, 4, 6, 8);
  await check(2, { written: 8, best: 5 }, [8, 6]);
  // 8 was damaged, so the run went on from 4: what it writes now is never the one that goes.
  await make(2, 4, 6, 8);
  await check(1, { written: 6, best: null }, [6]);
});

void test("a signal ends a run where it is", async () => {
  const controller = new AbortController();
  const onEvent = (event: TrainingEvent): void => {
    if (event.kind === "step" && event.step === 2) controller.abort();
  };
  const asked = request("cancelled", { onEvent, signal: controller.signal });
  await assert.rejects(train(asked), { code: "cancelled" });
});

void test("a head in parts has the loss and gradients of a whole one", async () => {
  const options = trainingOptions.parse({ learningRate: 0.01 });
  const parts = await prepareTraining(base, start, { seed: 1 });
  const plan = data.plan({ epoch: 0, batchSize: 5, seed: 0, isShuffled: false });
  const sums: { loss: number; gradients: Map<string, Float32Array> }[] = [];
  for (const largestWidth of [8192, 1]) {
    const session = { threads: 1 };
    const model = await TrainingModel.create({ ...parts, largestWidth }, options, session);
    const loss = await model.step(plan.batch(0), { share: 0.1, seed: 3 });
    sums.push({ loss, gradients: model.parameters.gradients() });
    await model.dispose();
  }
  const [whole, apart] = sums as [(typeof sums)[0], (typeof sums)[0]];
  assert.ok(Math.abs(whole.loss - apart.loss) < 1e-5 * whole.loss);
  for (const [name, gradient] of whole.gradients) {
    const other = apart.gradients.get(name) as Float32Array;
    const largest = Math.max(...gradient.map(Math.abs));
    gradient.forEach((value, i) =>
      assert.ok(Math.abs(value - (other[i] as number)) <= 1e-5 * largest + 1e-9, name),
    );
  }
});

void test("a step whose blocks are computed again has the same gradients, and no graph has a past", async () => {
  const parts = await prepareTraining(base, start, { seed: 1 });
  const graph = stepGraph(parts.model, { loss: "choice", groups: [] });
  assert.deepEqual(
    graph.inputs.map(({ name }) => name).filter((name) => name.includes("past")),
    [],
  );
  const results = [];
  for (const gradientCheckpointing of [false, true]) {
    const options = trainingOptions.parse({ gradientCheckpointing });
    const model = await TrainingModel.create(parts, options, { threads: 1 });
    const plan = data.plan({ epoch: 0, batchSize: 3, seed: 0, isShuffled: false });
    await model.step(plan.batch(0), { share: 0.1, seed: 3 });
    results.push(
      [...model.parameters.gradients().values()].map((values) => Buffer.from(values.buffer)),
    );
    await model.dispose();
  }
  assert.deepEqual(results[0], results[1]);
});

void test("a card tells of the run, once", async () => {
  const card = (await read("again", "README.md")).toString();
  assert.equal(card.match(/## Training with Graft/g)?.length, 1);
  assert.match(card, /"learningRate": 0.01/);
});
