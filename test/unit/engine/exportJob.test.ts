import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { after, test } from "node:test";
import { parse } from "yaml";
import { parseAdapterConfig } from "../../../extension/core/checkpoint/adapterConfig.ts";
import { openAdapterCheckpoint } from "../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { openTrainingBase } from "../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../extension/core/prepareTraining.ts";
import { readFloat32 } from "../../../extension/core/safetensors/read.ts";
import type { Batch } from "../../../extension/core/train/data/batch.ts";
import type { JobFacts, TrainingJob } from "../../../extension/engine/training/export/job.ts";
import { trainingJob } from "../../../extension/engine/training/export/job.ts";
import { exportJob } from "../../../extension/engine/training/export/exportJob.ts";
import { jobNotes, plain } from "../../../extension/engine/training/export/notes.ts";
import { type JobRow, rowOf } from "../../../extension/engine/training/export/rows.ts";
import { openRunData } from "../../../extension/engine/training/runData.ts";
import { createRun } from "../../../extension/engine/training/runFolder.ts";
import { RunLog } from "../../../extension/engine/training/runLog.ts";
import type { RunConfig } from "../../../extension/protocol/trainingContract.ts";

const place = mkdtempSync(join(tmpdir(), "graft-job-"));
after(() => rmSync(place, { recursive: true, force: true }));
const work = { onProgress: () => undefined, signal: new AbortController().signal };
const templates = resolve("media/training-job");

const pirate: RunConfig = {
  version: 1,
  name: "pirate",
  base: resolve("media/sample/base"),
  adapter: {
    kind: "new",
    config: { peft_type: "LORA", task_type: "CAUSAL_LM", r: 4, target_modules: ["q_proj"] },
  },
  data: { files: [resolve("media/sample/training/pirate.jsonl")], evaluationShare: 0.1 },
  settings: {
    ...{ epochs: 2, batchSize: 4, gradientAccumulation: 3, learningRate: 1e-3, seed: 7 },
    ...{ schedule: "cosine", warmupSteps: 5, optimizer: "adamw", weightDecay: 0.01 },
    ...{ maxGradientNorm: 0.5, loraPlusRatio: 16, groupByLength: true },
    ...{ gradientCheckpointing: true, evaluateEvery: 6, saveEvery: 4, keepCheckpoints: 2 },
    earlyStopping: 3,
  },
  samplePrompts: [],
};

function json<T>(...parts: string[]): T {
  return JSON.parse(readFileSync(join(...parts), "utf8")) as T;
}

function rowsIn(file: string): JobRow[] {
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as JobRow);
}

/** The rows of batches of several, without padding. */
function rowsOf({ rows, length, inputIds, attentionMask, labels }: Batch): JobRow[] {
  return Array.from({ length: rows }, (_, row) => {
    const at = Array.from({ length }, (_, i) => row * length + i).filter(
      (i) => attentionMask[i] === 1,
    );
    return {
      input_ids: at.map((i) => inputIds[i] as number),
      labels: at.map((i, place) => (place === 0 ? -100 : (labels[i] as number))),
    };
  });
}

test("a job has the run's rows, its beginning and its settings", async () => {
  const folder = join(place, "whole");
  const job = await exportJob({ config: pirate, folder }, work);
  const expected = [
    ...["README.md", "accelerate_ddp.yaml", "accelerate_fsdp.yaml"],
    ...["adapter/adapter_config.json", "adapter/adapter_model.safetensors"],
    ...["data/evaluation.jsonl", "data/training.jsonl", "job.json", "model.py"],
    ...["requirements.txt", "rows.py", "run.json", "train.py"],
  ];
  assert.deepEqual(job.files, expected);
  assert.deepEqual(json(folder, "run.json"), pirate);

  const { dataset } = await openRunData(pirate.base, pirate.data);
  const order = { epoch: 0, batchSize: 5, seed: 0, isShuffled: false };
  for (const [name, split] of [
    ["training", dataset.training],
    ["evaluation", dataset.evaluation],
  ] as const) {
    const plan = split.plan(order);
    const all = Array.from({ length: plan.batches }, (_, i) => rowsOf(plan.batch(i))).flat();
    assert(all.length > 0);
    assert.deepEqual(rowsIn(join(folder, `data/${name}.jsonl`)), all);
  }
  dataset.dispose();

  const base = await openTrainingBase(pirate.base);
  const text = JSON.stringify(pirate.adapter.kind === "new" && pirate.adapter.config);
  const config = parseAdapterConfig(text, "adapter_config.json");
  const { values } = await prepareTraining(base, { kind: "new", config }, { seed: 7 });
  const { weights } = await openAdapterCheckpoint(join(folder, "adapter"));
  const stored = await readFloat32(weights.file, weights.tensors);
  assert(stored.size > 0);
  for (const [name, numbers] of stored) assert.deepEqual(numbers, values.get(name), name);
  await base.dispose();

  const told = json<TrainingJob>(folder, "job.json");
  assert.deepEqual(
    [told.task, told.groupByLength, told.rowsOfStep, told.loraPlus?.ratio, told.earlyStopping],
    ["causal", true, 12, 16, { patience: 3, threshold: 0 }],
  );
  const { arguments: own } = told;
  assert.deepEqual(
    ["num_train_epochs", "lr_scheduler_type", "warmup_steps", "max_grad_norm", "seed"].map(
      (name) => own[name],
    ),
    [2, "cosine", 5, 0.5, 7],
  );
  assert.deepEqual([own["eval_steps"], own["save_steps"], own["save_total_limit"]], [6, 4, 2]);
});

test("Accelerate's configurations are YAML, and FSDP is as PEFT wants it", () => {
  const read = (name: string): Record<string, unknown> =>
    parse(readFileSync(join(templates, name), "utf8")) as Record<string, unknown>;
  assert.equal(read("accelerate_ddp.yaml")["distributed_type"], "MULTI_GPU");
  const { distributed_type: type, fsdp_config: fsdp } = read("accelerate_fsdp.yaml");
  assert.equal(type, "FSDP");
  assert.deepEqual(
    {
      ...(fsdp as Record<string, unknown>),
      fsdp_use_orig_params: false,
      fsdp_auto_wrap_policy: "TRANSFORMER_BASED_WRAP",
      fsdp_cpu_ram_efficient_loading: true,
    },
    fsdp,
  );
});

test("nothing of a config gets into the script, whatever it is called", async () => {
  const name = `it's "mine"\\'; import os #\n"""`;
  const folder = join(place, `a b'c"d`);
  await exportJob({ config: { ...pirate, name }, folder }, work);
  assert.equal(json<TrainingJob>(folder, "job.json").name, name);
  for (const file of readdirSync(templates)) {
    const [own, written] = [templates, folder].map((each) => readFileSync(join(each, file)));
    assert(own && written && own.equals(written), file);
  }
});

test("a folder that exists is left alone, and a failure leaves none", async () => {
  const folder = join(place, "taken");
  mkdirSync(folder);
  const taken = exportJob({ config: pirate, folder }, work);
  await assert.rejects(taken, { code: "bad-request", message: /exists already/ });
  assert.deepEqual(readdirSync(folder), []);
  const gone = { ...pirate, data: { files: [join(place, "nothing.jsonl")] } };
  await assert.rejects(exportJob({ config: gone, folder: join(place, "none") }, work), /nothing/);
  // Stopped once its folder is made.
  const stop = new AbortController();
  const stopped = {
    signal: stop.signal,
    onProgress: ({ step }: { step: string }) => void (step === "Writing rows" && stop.abort()),
  };
  await assert.rejects(exportJob({ config: pirate, folder: join(place, "none") }, stopped), {
    code: "cancelled",
  });
  const left = readdirSync(place).filter((each) => each.startsWith("none"));
  assert.deepEqual(left, []);
});

test("the losses that Graft took go along, and what does not carry over is said", async () => {
  const settings = { ...pirate.settings, evaluateEvery: 0 };
  const lora = { ...(pirate.adapter as { config: object }).config, lora_dropout: 0.1 };
  const config: RunConfig = {
    ...{ ...pirate, settings, dtype: "int4", samplePrompts: ["Who are you?"] },
    adapter: { kind: "new", config: lora },
  };
  const run = await createRun(place, config);
  const log = new RunLog(run);
  for (const step of [1, 2]) {
    log.append({
      ...{ kind: "step", step, totalSteps: 2, epoch: 0, loss: 3 - step, learningRate: 1 },
      ...{ gradientNorm: 1, tokensPerSecond: 1, secondsLeft: 0, memory: 1 },
    });
  }
  const folder = join(place, "noted");
  const { notes, files } = await exportJob({ config, folder, run }, work);
  const job = json<TrainingJob>(folder, "job.json");
  assert.deepEqual([job.losses, job.quantization], [{ 1: 2, 2: 1 }, "nf4"]);
  assert.deepEqual([job.arguments["eval_strategy"], job.earlyStopping], ["no", null]);
  assert(!files.includes("data/evaluation.jsonl") && !existsSync(join(folder, "data/evaluation")));
  const readme = readFileSync(join(folder, "README.md"), "utf8");
  for (const word of ["Dropout", "int4", basename(pirate.base), "sample prompts"]) {
    assert(
      notes.some((note) => note.includes(word)),
      word,
    );
    assert(readme.includes(word), word);
  }
});

const facts: JobFacts = {
  base: { path: "/cache/models--a--b/snapshots/c", id: "a/b", revision: "c" },
  ...{ task: "causal", labels: null, loss: "choice", hasEvaluation: true, hasDropout: false },
  ...{ learnsFirstToken: false, hasTasks: false, losses: {} },
};

test("a base that is known on the Hub, and numbers that are rounded, need no word", () => {
  assert.deepEqual(jobNotes({ ...pirate, dtype: "bf16" }, facts), []);
  assert.equal(trainingJob({ ...pirate, dtype: "bf16" }, facts).roundedTo, "bfloat16");
  assert.equal(plain("{1} of {0}", 3, "two"), "two of 3");
});

test("rows of every task are without padding, a first token without a label", () => {
  const batch: Batch = {
    ...{ rows: 1, length: 8, learnedTokens: 3, tokens: 3 },
    inputIds: Int32Array.of(5, 6, 7, 0, 0, 0, 0, 0),
    attentionMask: Int32Array.of(1, 1, 1, 0, 0, 0, 0, 0),
    labels: Int32Array.of(5, 6, 7, -100, -100, -100, -100, -100),
  };
  const ids = { input_ids: [5, 6, 7] };
  assert.deepEqual(rowOf(batch, facts), { ...ids, labels: [-100, 6, 7] });
  const foretold = { ...facts, learnsFirstToken: true };
  assert.deepEqual(rowOf(batch, foretold), { ...ids, labels: [5, 6, 7] });
  const tagged = { ...facts, task: "token-classification" } as const;
  assert.deepEqual(rowOf(batch, tagged), { ...ids, labels: [5, 6, 7] });

  const pair = { ...batch, tokenTypes: Int32Array.of(0, 1, 1, 0, 0, 0, 0, 0) };
  const classified = { ...facts, task: "sequence-classification" } as const;
  const types = { ...ids, token_type_ids: [0, 1, 1] };
  const one = { ...pair, labels: Int32Array.of(2) };
  assert.deepEqual(rowOf(one, classified), { ...types, labels: 2 });
  const several = { ...pair, labels: Int32Array.of(1, 0, 1) };
  const form = { ...classified, loss: "choices" } as const;
  assert.deepEqual(rowOf(several, form), { ...types, labels: [1, 0, 1] });

  const tasks = { ...batch, tasks: Int32Array.of(3) };
  assert.equal(rowOf(tasks, { ...facts, hasTasks: true }).task_ids, 3);
  assert.equal(rowOf(batch, { ...facts, hasTasks: true }).task_ids, 0);
  const packed = { ...batch, positionIds: Int32Array.of(0, 0, 1, 0, 0, 0, 0, 0) };
  assert.deepEqual(rowOf(packed, facts).position_ids, [0, 0, 1]);
});
