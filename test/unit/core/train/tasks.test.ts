import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import type { ProblemType } from "../../../../extension/core/models/problem.ts";
import { openTrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import type { Batch, Split } from "../../../../extension/core/train/data/batch.ts";
import { trainingOptions } from "../../../../extension/core/train/options.ts";
import { Trainer } from "../../../../extension/core/train/trainer.ts";
import { TrainingModel } from "../../../../extension/core/train/trainingModel.ts";
import { fixtures } from "../support.ts";

interface Case {
  model: string;
  problem: ProblemType | null;
  config: Record<string, unknown>;
  batch: {
    input_ids: number[][];
    attention_mask: number[][];
    token_type_ids?: number[][];
    labels?: number[] | number[][];
    start_positions?: number[];
    end_positions?: number[];
  };
  losses: number[];
  gradients: Record<string, number>;
}

const truths = JSON.parse(readFileSync(path.join(import.meta.dirname, "tasks.json"), "utf8")) as {
  seed: number;
  rate: number;
  cases: Record<string, Case>;
};

for (const [name, truth] of Object.entries(truths.cases)) {
  void test(`${name}: losses and gradients are Python PEFT's`, async () => {
    const start = { kind: "new", config: adapterConfigOf(truth.config) } as const;
    const { problem } = truth;
    const head =
      problem === null ? {} : { head: { labels: ["a", "b", "c"], problem, isNew: false } };
    const base = await openTrainingBase(path.join(fixtures, "models", truth.model), head, start);
    const { seed, rate } = truths;
    const options = trainingOptions.parse({
      ...{ learningRate: rate, maxSteps: truth.losses.length, batchSize: 2, maxGradNorm: 0 },
      ...{ schedule: { type: "constant" }, shuffle: false, lossNormalization: "batches" },
    });
    const parts = await prepareTraining(base, start, { seed, baseDropout: false });
    const model = await TrainingModel.create(parts, options, { threads: 1 });
    const batch = batchOf(truth);
    await model.step(batch, { share: 1 / model.termsOf(batch), seed: 0 });
    for (const [tensor, gradient] of model.parameters.gradients()) {
      const wanted = truth.gradients[tensor.replace("base_model.model.", "")];
      assert.ok(wanted !== undefined, `PEFT does not train ${tensor}`);
      const own = Math.hypot(...gradient);
      assert.ok(
        Math.abs(own - wanted) <= 1e-4 * Math.max(wanted, 1e-3),
        `${tensor}: ${own}, ${wanted}`,
      );
    }
    assert.equal(model.parameters.gradients().size, Object.keys(truth.gradients).length);
    model.parameters.dropGradients();
    const trainer = new Trainer(model, { train: splitOf(batch) }, options);
    await trainer.train();
    await model.dispose();
    const losses = trainer.history.log.map(({ loss }) => loss as number);
    losses.forEach((loss, i) =>
      assert.ok(
        Math.abs(loss - (truth.losses[i] as number)) < 1e-4,
        `${losses.join()}, ${truth.losses.join()}`,
      ),
    );
  });
}

function batchOf({ batch, config }: Case): Batch {
  const [rows, length] = [batch.input_ids.length, batch.input_ids[0]?.length ?? 0];
  const { start_positions: starts = [], end_positions: ends = [] } = batch;
  const given = batch.labels ?? starts.map((start, row) => [start, ends[row] as number]);
  const areIds = config["task_type"] !== "SEQ_CLS" || !Array.isArray(given[0]);
  const labels = areIds ? Int32Array.from(given.flat()) : Float32Array.from(given.flat());
  const isAnswer = config["task_type"] === "SEQ_2_SEQ_LM";
  return {
    rows,
    length,
    inputIds: Int32Array.from(batch.input_ids.flat()),
    attentionMask: Int32Array.from(batch.attention_mask.flat()),
    labels,
    ...(isAnswer && { answerLength: labels.length / rows }),
    ...(batch.token_type_ids && { tokenTypes: Int32Array.from(batch.token_type_ids.flat()) }),
    learnedTokens: areIds ? labels.filter((label) => label !== -100).length : rows,
    tokens: rows * length,
  };
}

function splitOf(batch: Batch): Split {
  const plan = { batches: 1, batch: () => batch };
  return {
    count: batch.rows,
    lengths: new Uint32Array(batch.rows).fill(batch.length),
    plan: () => plan,
  };
}
