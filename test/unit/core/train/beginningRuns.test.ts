/** Runs that begin by data: what they leave behind is of use by itself, and they go on as they were. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, before, test } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import { continued } from "../../../../extension/core/adapterStart.ts";
import { openTrainingBase, type TrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import { readTokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import { train, type TrainRequest } from "../../../../extension/core/trainAdapter.ts";
import type { Split } from "../../../../extension/core/train/data/batch.ts";
import type { TrainingEvent } from "../../../../extension/core/train/events.ts";
import { trainingOptions } from "../../../../extension/core/train/options.ts";
import { TrainingModel } from "../../../../extension/core/train/trainingModel.ts";
import { chatTexts, splitOf } from "../../../support/trainingData.ts";
import { failure } from "../support.ts";

const sample = path.join(import.meta.dirname, "../../../../media/sample");
let root = "";
let base: TrainingBase;
let data: Split;
let evaluation: Split;

before(async () => {
  root = await mkdtemp(path.join(tmpdir(), "graft-beginnings-"));
  base = await openTrainingBase(path.join(sample, "base"));
  const tokenizer = await readTokenizer(path.join(sample, "base"));
  assert.ok(tokenizer);
  const texts = chatTexts(path.join(sample, "training/pirate.jsonl"), tokenizer);
  const short = texts.filter(({ ids }) => ids.length < 30);
  data = splitOf(short.slice(0, 12));
  evaluation = splitOf(short.slice(0, 4));
});

after(() => rm(root, { recursive: true, force: true }));

function request(name: string, fields: Record<string, unknown>): TrainRequest {
  const config = adapterConfigOf({
    ...{ peft_type: "LORA", task_type: "CAUSAL_LM", r: 4, lora_alpha: 6 },
    ...{ target_modules: ["q_proj", "v_proj"], ...fields },
  });
  return {
    ...{ base, adapter: { kind: "new", config }, folder: path.join(root, name) },
    data: { train: data, evaluation },
    session: { threads: 1 },
    options: { batchSize: 4, maxSteps: 4, learningRate: 0.01, saveSteps: 2, evalSteps: 2 },
  };
}

/** Loss of an adapter in a folder over the evaluation's texts. */
async function lossOf(folder: string, on: TrainingBase): Promise<number> {
  const options = trainingOptions.parse({ batchSize: 4 });
  const parts = await prepareTraining(on, await continued(folder), { seed: 0 });
  const model = await TrainingModel.create(parts, options, { threads: 1 });
  const order = { epoch: 0, batchSize: 4, seed: 0, isShuffled: false };
  const batch = evaluation.plan(order).batch(0);
  const loss = (await model.evaluate(batch)) / model.termsOf(batch);
  await model.dispose();
  return loss;
}

const beginnings: Record<string, Record<string, unknown>> = {
  pissa_niter: { init_lora_weights: "pissa_niter_4" },
  corda: { init_lora_weights: "corda", corda_config: { corda_method: "ipm" } },
  lora_ga: { init_lora_weights: "lora_ga", lora_ga_config: { direction: "ArBr" } },
  eva: { init_lora_weights: "eva", eva_config: { use_label_mask: false, tau: 0.7 }, r: 2 },
  loftq: { init_lora_weights: "loftq", loftq_config: { loftq_bits: 4 } },
};

for (const [name, fields] of Object.entries(beginnings)) {
  void test(`a run that began with ${name} can be gone on with, and its adapter used`, async () => {
    const [losses, evaluated]: [number[], number[]] = [[], []];
    const onEvent = (event: TrainingEvent): void => {
      if (event.kind === "step") losses.push(event.loss);
      if (event.kind === "evaluation") evaluated.push(event.loss);
    };
    await train({ ...request(name, fields), onEvent });
    const again = `${name}-again`;
    for (const kept of ["checkpoint-2", ...(name === "loftq" ? ["base"] : [])]) {
      await cp(path.join(root, name, kept), path.join(root, again, kept), { recursive: true });
    }
    const resumed: number[] = [];
    await train({
      ...request(again, fields),
      resume: true,
      onEvent: (event) => void (event.kind === "step" && resumed.push(event.loss)),
    });
    assert.deepEqual(resumed, losses.slice(2));
    const read = (run: string): Promise<Buffer> =>
      readFile(path.join(root, run, "adapter_model.safetensors"));
    assert.ok((await read(name)).equals(await read(again)), "a run that goes on ends elsewhere");

    const text = await readFile(path.join(root, name, "adapter_config.json"), "utf8");
    const saved = JSON.parse(text) as Record<string, unknown>;
    if (name === "eva") assert.ok("rank_pattern" in saved && saved["init_lora_weights"] === "eva");
    else assert.equal(saved["init_lora_weights"], true);
    if (name !== "eva" && name !== "loftq")
      assert.deepEqual([saved["r"], saved["lora_alpha"]], [8, 12]);
    const own = path.join(root, name, "base");
    if (name === "loftq") assert.equal(saved["base_model_name_or_path"], own);
    // By itself, on the base that its config leads to, the adapter is what was trained.
    const on = name === "loftq" ? await openTrainingBase(own) : base;
    const folders = [path.join(root, name, "checkpoint-2"), path.join(root, name)];
    for (const [i, folder] of folders.entries()) {
      const difference = Math.abs((await lossOf(folder, on)) - (evaluated[i] as number));
      assert.ok(difference < 1e-5, `${folder} differs by ${difference}`);
    }
    assert.ok((evaluated[1] as number) < (losses[0] as number) / 4, "nothing is learned");
  });
}

void test("what a beginning lacks or passes over is said", async () => {
  const noted: string[] = [];
  const onEvent = (event: TrainingEvent): void => {
    if (event.kind === "note") noted.push(event.text);
  };
  const fields = {
    ...{ init_lora_weights: "eva", eva_config: { use_label_mask: false }, r: 2 },
    ...{ corda_config: { corda_method: "kpm" }, target_modules: ["q_proj", "nothing"] },
  };
  const made = request("said", fields);
  await train({ ...made, onEvent, options: { ...made.options, maxSteps: 1 } });
  const all = noted.join("\n");
  for (const part of ['"corda_config" has no effect', "does not have: nothing"]) {
    assert.ok(all.includes(part), `"${part}" is missing in ${all}`);
  }
  const parts = await prepareTraining(base, request("none", fields).adapter, { seed: 0 });
  assert.ok(parts.warnings?.some((each) => each.includes("EVA began without its data")));
});

void test("a beginning that cannot be is refused, by what is wrong", async () => {
  const prepare = (fields: Record<string, unknown>, more = {}): Promise<unknown> => {
    const { adapter } = request("refused", fields);
    return prepareTraining(base, adapter, { seed: 0, ...more });
  };
  await assert.rejects(
    prepare({ init_lora_weights: "corda" }),
    failure("bad-request", "corda", "training data"),
  );
  const options = trainingOptions.parse({ batchSize: 1 });
  const texts = { train: data, options };
  await assert.rejects(
    prepare({ init_lora_weights: "eva", r: 16 }, { texts }),
    failure("bad-request", "at least 32 tokens"),
  );
  await assert.rejects(
    prepare({ init_lora_weights: "lora_ga", r: 60 }, { texts }),
    failure("misfit", "needs 120 directions"),
  );
  const adapter = adapterConfigOf({ peft_type: "LOKR", init_weights: "pissa" });
  await assert.rejects(
    prepareTraining(base, { kind: "new", config: adapter }, { seed: 0 }),
    failure("bad-file", "init_weights", '"pissa"', "lycoris"),
  );
  const stop = new AbortController();
  stop.abort();
  const gone = prepare({ init_lora_weights: "eva" }, { texts, signal: stop.signal });
  await assert.rejects(gone, failure("cancelled"));
});
