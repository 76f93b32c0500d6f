import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import { openTrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import type { Batch } from "../../../../extension/core/train/data/batch.ts";
import { trainingOptions } from "../../../../extension/core/train/options.ts";
import { TrainingModel } from "../../../../extension/core/train/trainingModel.ts";
import { fixtures } from "../support.ts";

const batch: Batch = {
  ...{ rows: 2, length: 6, learnedTokens: 2, tokens: 12 },
  inputIds: Int32Array.of(3, 17, 9, 22, 5, 1, 11, 4, 8, 1, 2, 2),
  attentionMask: new Int32Array(12).fill(1),
  labels: Int32Array.of(2, 0),
};
const answers: Batch = { ...batch, answerLength: 3, labels: Int32Array.of(4, 5, 1, 6, 1, -100) };
const tokens: Batch = { ...batch, labels: Int32Array.from(batch.inputIds) };

const cases: [model: string, task: string, targets: string[], Batch][] = [
  ["bert-seqcls", "SEQ_CLS", ["query"], batch],
  ["distilbert-seqcls", "SEQ_CLS", ["q_lin"], batch],
  ["gpt2", "CAUSAL_LM", ["c_attn"], tokens],
  ["t5-plain", "SEQ_2_SEQ_LM", ["q"], answers],
];

for (const [name, task, targets, given] of cases) {
  void test(`${name} drops out in training by the run's seed alone, and not in evaluation`, async () => {
    const config = adapterConfigOf({ peft_type: "LORA", task_type: task, target_modules: targets });
    const start = { kind: "new", config } as const;
    const base = await openTrainingBase(path.join(fixtures, "models", name), {}, start);
    const lossesOf = async (baseDropout: boolean): Promise<number[]> => {
      const parts = await prepareTraining(base, start, { seed: 1, baseDropout });
      const options = trainingOptions.parse({ learningRate: 0.01 });
      const model = await TrainingModel.create(parts, options, { threads: 1 });
      const share = 1 / model.termsOf(given);
      const losses = [];
      for (const seed of [1, 1, 2]) losses.push(await model.step(given, { share, seed }));
      losses.push(share * (await model.evaluate(given)));
      await model.dispose();
      return losses;
    };
    const [first, again, other, evaluated] = (await lossesOf(true)) as [
      number,
      number,
      number,
      number,
    ];
    assert.equal(first, again);
    assert.ok(Math.abs(first - other) > 1e-4, `${first} ${other}`);
    const quiet = await lossesOf(false);
    for (const loss of quiet) assert.ok(Math.abs(loss - evaluated) < 1e-5, `${loss} ${evaluated}`);
  });
}

void test("a base whose dropout has no place is told", async () => {
  const config = adapterConfigOf({
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    target_modules: ["q_proj"],
  });
  const start = { kind: "new", config } as const;
  const own = await openTrainingBase(path.join(fixtures, "models/starcoder2"), {}, start);
  const raw = { ...own.checkpoint.config.raw, residual_dropout: 0.1 };
  const checkpoint = { ...own.checkpoint, config: { ...own.checkpoint.config, raw } };
  const { warnings } = await prepareTraining({ ...own, checkpoint }, start, { seed: 1 });
  assert.match(warnings?.join() ?? "", /residual_dropout/);
});
