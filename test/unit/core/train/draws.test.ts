/** Methods that draw in training (PVeRA, Poly): seeds, evaluation, gradients, and tasks of texts. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { before, test } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import { openTrainingBase, type TrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import { readTokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import { TrainingRun } from "../../../../extension/core/trainAdapter.ts";
import type { Batch, Split } from "../../../../extension/core/train/data/batch.ts";
import { trainingOptions } from "../../../../extension/core/train/options.ts";
import { TrainingModel } from "../../../../extension/core/train/trainingModel.ts";
import { chatTexts, splitOf } from "../../../support/trainingData.ts";

const sample = path.join(import.meta.dirname, "../../../../media/sample");
const target_modules = ["v_proj", "o_proj"];
const pvera = { peft_type: "PVERA", r: 8, init_weights: false, target_modules };
const poly = { peft_type: "POLY", n_tasks: 3, n_splits: 2, init_weights: false, target_modules };

let base: TrainingBase;
let data: Split;
let batch: Batch;

before(async () => {
  base = await openTrainingBase(path.join(sample, "base"));
  const tokenizer = await readTokenizer(path.join(sample, "base"));
  assert.ok(tokenizer);
  const texts = chatTexts(path.join(sample, "training/pirate.jsonl"), tokenizer);
  data = splitOf(texts.filter(({ ids }) => ids.length < 30).slice(0, 4));
  const plan = data.plan({ epoch: 0, batchSize: 3, seed: 0, isShuffled: false });
  batch = { ...plan.batch(0), tasks: Int32Array.of(2, 0, 2) };
});

async function modelOf(fields: Record<string, unknown>): Promise<TrainingModel> {
  const config = adapterConfigOf({ task_type: "CAUSAL_LM", ...fields });
  const parts = await prepareTraining(base, { kind: "new", config }, { seed: 1 });
  return TrainingModel.create(parts, trainingOptions.parse({}), { threads: 1 });
}

for (const fields of [pvera, poly]) {
  void test(`${fields.peft_type} draws by its seed in training, and not in evaluation`, async (t) => {
    const model = await modelOf(fields);
    t.after(() => model.dispose());
    const share = 1 / model.termsOf(batch);
    const at = async (seed: number): Promise<number> => {
      const loss = await model.step(batch, { share, seed });
      model.parameters.dropGradients();
      return loss;
    };
    const first = await at(1);
    assert.equal(await at(1), first);
    assert.notEqual(await at(2), first);
    const quiet = await model.evaluate(batch);
    assert.equal(await model.evaluate(batch), quiet);
    assert(Math.abs(quiet * share - first) > 1e-4, "nothing is drawn");
  });

  void test(`${fields.peft_type}'s gradient is that of the loss with the same draws`, async (t) => {
    const model = await modelOf(fields);
    t.after(() => model.dispose());
    const at = { share: 1 / model.termsOf(batch), seed: 3 };
    await model.step(batch, at);
    const gradients = new Map(
      [...model.parameters.gradients()].map(([name, own]) => [name, own.slice()]),
    );
    const values = model.parameters.values();
    for (const suffix of new Set([...gradients.keys()].map((name) => name.split(".").at(-1)))) {
      const own = [...gradients].filter(([name]) => name.endsWith(`.${suffix}`));
      const length = Math.hypot(...own.flatMap(([, gradient]) => [...gradient]));
      assert(length > 0, `${suffix} has no gradient`);
      // Along the gradient the loss rises by its length.
      const step = 2e-2;
      const move = async (by: number): Promise<number> => {
        const kept = own.map(([name]) => values.get(name)?.slice() as Float32Array);
        for (const [name, gradient] of own) {
          const value = values.get(name) as Float32Array;
          gradient.forEach((each, i) => (value[i] = (value[i] as number) + (by * each) / length));
        }
        const loss = await model.step(batch, at);
        own.forEach(([name], i) => values.get(name)?.set(kept[i] as Float32Array));
        return loss;
      };
      const rise = ((await move(step)) - (await move(-step))) / (2 * step);
      assert(Math.abs(rise - length) < 0.02 * length, `${suffix}: ${rise} instead of ${length}`);
    }
  });
}

void test("only the tasks of a batch's texts learn", async (t) => {
  const model = await modelOf(poly);
  t.after(() => model.dispose());
  await model.step(batch, { share: 0.1, seed: 0 });
  for (const [name, gradient] of model.parameters.gradients()) {
    if (!name.endsWith("module_logits")) continue;
    const row = gradient.length / 3;
    const isLearned = [0, 1, 2].map((task) =>
      gradient.subarray(task * row, (task + 1) * row).some((value) => value !== 0),
    );
    assert.deepEqual(isLearned, [true, false, true]);
  }
});

void test("texts that do not say their task are refused before anything is trained", async () => {
  const config = adapterConfigOf({ task_type: "CAUSAL_LM", ...poly });
  const open = (train: Split): Promise<TrainingRun> =>
    TrainingRun.open({ base, adapter: { kind: "new", config }, data: { train }, folder: "" });
  await assert.rejects(open(data), /3 tasks, and 4 texts do not say which/);
  const tasks = { largest: 3, missing: 0 };
  await assert.rejects(open({ ...data, tasks }), /of task 3; the adapter has 3, counted from 0/);
});
