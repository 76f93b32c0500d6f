import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { exportJob } from "../../extension/engine/training/export/exportJob.ts";
import { createRun } from "../../extension/engine/training/runFolder.ts";
import { readEvents } from "../../extension/engine/training/runLog.ts";
import { trainIn } from "../../extension/engine/training/runProcess.ts";
import type { RunConfig } from "../../extension/protocol/trainingContract.ts";
import { pirateRun } from "../support/pirateRun.ts";

const run = promisify(execFile);
const python = process.env["GRAFT_PYTHON"] ?? "python3";
const tolerance = 1e-4;
const place = mkdtempSync(join(tmpdir(), "graft-exported-"));
after(() => rmSync(place, { recursive: true, force: true }));

/** Why the job cannot be run here, or false. */
async function missing(): Promise<string | false> {
  const found = await run(python, ["-c", "import peft, accelerate, transformers"]).catch(
    () => null,
  );
  return found ? false : `${python} has no PEFT with Accelerate: GRAFT_PYTHON names one that has`;
}

const skip = await missing();

interface Curve {
  readonly losses: number[];
  readonly evaluations: number[];
}

/** Trains a config in Graft, then as the job that it is exported as. */
async function both(
  config: RunConfig,
  ...options: string[]
): Promise<{ graft: Curve; job: Curve }> {
  const folder = await createRun(place, config);
  assert.equal(await trainIn(folder), 0);
  const graft: Curve = { losses: [], evaluations: [] };
  for await (const event of readEvents(folder)) {
    if (event.kind === "step") graft.losses.push(event.loss);
    if (event.kind === "evaluation") graft.evaluations.push(event.loss);
  }
  const target = `${folder} "job"`;
  const work = { onProgress: () => undefined, signal: new AbortController().signal };
  await exportJob({ config, folder: target, run: folder }, work);
  const env = { ...process.env, HF_HUB_OFFLINE: "1", OMP_NUM_THREADS: "1" };
  const script = [join(target, "train.py"), ...options];
  const { stdout } = await run(python, script, { env, maxBuffer: 2 ** 26 });
  assert.match(stdout, /Losses of \d+ steps differ from those of Graft's run by at most/);
  const job: Curve = { losses: [], evaluations: [] };
  for (const line of readFileSync(join(target, "output/log.jsonl"), "utf8").trim().split("\n")) {
    const { loss, eval_loss: evaluation } = JSON.parse(line) as Record<string, number>;
    if (loss !== undefined) job.losses.push(loss);
    if (evaluation !== undefined) job.evaluations.push(evaluation);
  }
  return { graft, job };
}

function apart(one: readonly number[], other: readonly number[]): number {
  return Math.max(0, ...one.map((loss, i) => Math.abs(loss - (other[i] ?? NaN))));
}

test("the pirate's curve is PEFT's", { skip }, async (t) => {
  const { graft, job } = await both(pirateRun);
  assert.deepEqual([graft.losses.length, job.losses.length], [65, 65]);
  assert((graft.losses[0] ?? 0) > 2 * (graft.losses.at(-1) ?? 0), "it learns");
  const first = apart(graft.losses.slice(0, 12), job.losses);
  t.diagnostic(`12 steps ${first.toExponential(1)}, 65 ${apart(graft.losses, job.losses)}`);
  assert(first <= tolerance, `${first}`);
});

test("so is a run with all that a run can have", { skip }, async (t) => {
  const dora = { ...(pirateRun.adapter as { config: object }).config, use_dora: true };
  const config: RunConfig = {
    ...{ ...pirateRun, name: "everything", adapter: { kind: "new", config: dora } },
    data: { ...pirateRun.data, evaluationShare: 0.2, packing: "fit", maxLength: 128, learn: "all" },
    settings: {
      ...{ ...pirateRun.settings, epochs: 3, batchSize: 2, gradientAccumulation: 3 },
      ...{ learningRate: 1e-3, loraPlusRatio: 4, weightDecay: 0.1, maxGradientNorm: 0.3 },
      ...{ groupByLength: true, gradientCheckpointing: true, evaluateEvery: 4, saveEvery: 4 },
      ...{ schedule: "linear", warmupSteps: 2, keepCheckpoints: 1, earlyStopping: 5 },
    },
  };
  const { graft, job } = await both(config);
  assert(graft.losses.length >= 10 && graft.evaluations.length >= 2);
  assert.equal(job.losses.length, graft.losses.length);
  assert.equal(job.evaluations.length, graft.evaluations.length);
  const [losses, evaluations] = [
    apart(graft.losses, job.losses),
    apart(graft.evaluations, job.evaluations),
  ];
  t.diagnostic(`${graft.losses.length} steps ${losses}, evaluations ${evaluations}`);
  assert(losses <= tolerance && evaluations <= tolerance, `${losses}, ${evaluations}`);
});

test(
  "so is a classifier's, whose batches are joined by the job's own loss",
  { skip },
  async (t) => {
    const fixtures = resolve("test/golden/fixtures/models");
    const base = join(place, "bert");
    cpSync(join(fixtures, "bert-seqcls"), base, { recursive: true });
    cpSync(join(fixtures, "llama/tokenizer.json"), join(base, "tokenizer.json"));
    const words = ["the", "a", "dog", "sea", "is", "blue", "old", "and"];
    const lines = Array.from({ length: 26 }, (_, i) => {
      const text = words.map((_, at) => words[(i * (at + 3)) % words.length]).slice(0, 3 + (i % 5));
      return JSON.stringify({ text: text.join(" "), label: i % 3 });
    });
    const file = join(place, "classes.jsonl");
    writeFileSync(file, lines.join("\n"));
    const config: RunConfig = {
      ...{ ...pirateRun, name: "classes", base },
      adapter: {
        kind: "new",
        config: {
          peft_type: "LORA",
          task_type: "SEQ_CLS",
          r: 4,
          target_modules: ["query", "value"],
        },
      },
      data: { files: [file], evaluationShare: 0.3 },
      settings: {
        ...{ ...pirateRun.settings, epochs: 3, batchSize: 3, gradientAccumulation: 2 },
        ...{ learningRate: 1e-2, evaluateEvery: 3, baseDropout: false },
      },
    };
    const { graft, job } = await both(config);
    assert(graft.losses.length >= 8 && graft.evaluations.length >= 2);
    const [losses, evaluations] = [
      apart(graft.losses, job.losses),
      apart(graft.evaluations, job.evaluations),
    ];
    t.diagnostic(`${graft.losses.length} steps ${losses}, evaluations ${evaluations}`);
    assert(losses <= tolerance && evaluations <= tolerance, `${losses}, ${evaluations}`);
  },
);

test("so is a prompt's, whose last token foretells a text's first", { skip }, async (t) => {
  const prompt = { peft_type: "PROMPT_TUNING", task_type: "CAUSAL_LM", num_virtual_tokens: 4 };
  const config: RunConfig = {
    ...{ ...pirateRun, name: "prompt", adapter: { kind: "new", config: prompt } },
    data: { ...pirateRun.data, learn: "all" },
    settings: { ...pirateRun.settings, maxSteps: 10, warmupSteps: 0, gradientAccumulation: 2 },
  };
  const { graft, job } = await both(config);
  assert.equal(graft.losses.length, 10);
  const losses = apart(graft.losses, job.losses);
  t.diagnostic(`10 steps ${losses}`);
  assert(losses <= tolerance, `${losses}`);
});
