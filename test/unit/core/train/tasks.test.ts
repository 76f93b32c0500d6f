import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import type { ProblemType } from "../../../../extension/core/models/problem.ts";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { taskOfType } from "../../../../extension/core/models/taskClass.ts";
import { savedConfig } from "../../../../extension/core/trainedFiles.ts";
import { writeAdapterFiles } from "../../../../extension/core/train/adapterFiles.ts";
import { openTrainingBase, type TrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import type { Batch, Split } from "../../../../extension/core/train/data/batch.ts";
import { trainingOptions } from "../../../../extension/core/train/options.ts";
import { Trainer } from "../../../../extension/core/train/trainer.ts";
import { TrainingModel } from "../../../../extension/core/train/trainingModel.ts";
import { fixtures, temporaryFolder } from "../support.ts";

interface Case {
  model: string;
  problem: ProblemType | null;
  config: Record<string, unknown>;
  batch: {
    input_ids?: number[][];
    attention_mask?: number[][];
    /** Sizes of images, whose values are sines. */
    pixels?: number[];
    token_type_ids?: number[][];
    labels?: number[] | number[][];
    start_positions?: number[];
    end_positions?: number[];
  };
  losses: number[];
  gradients: Record<string, number>;
  /** Lengths of tensors after the last step; of prompts. */
  ends?: Record<string, number>;
}

const truths = JSON.parse(readFileSync(path.join(import.meta.dirname, "tasks.json"), "utf8")) as {
  seed: number;
  rate: number;
  cases: Record<string, Case>;
};

for (const [name, truth] of Object.entries(truths.cases)) {
  void test(`${name}: losses and gradients are Python PEFT's`, async (t) => {
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
    const names = new Map(
      parts.adapter.parameters.map(({ name: own, torchName = own }) => [
        own,
        torchName.replace("base_model.model.", "").replace(/^base_model\./, ""),
      ]),
    );
    for (const [tensor, gradient] of model.parameters.gradients()) {
      const wanted = truth.gradients[names.get(tensor) as string];
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
    await runsAsTrained(truth, { model, batch, base, t });
    for (const [tensor, own] of model.parameters.values()) {
      const spelled = names.get(tensor) as string;
      const wanted = truth.ends?.[spelled];
      // A bias of all places alike changes nothing: its gradient is rounding, which AdamW makes large.
      if (wanted === undefined || (truth.gradients[spelled] as number) < 1e-6) continue;
      assert.ok(Math.abs(Math.hypot(...own) - wanted) <= 1e-3, `${tensor} at the end`);
    }
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

/** A saved prompt gives the answers in use that it was trained for. */
async function runsAsTrained(
  { config, model: name }: Case,
  at: { model: TrainingModel; batch: Batch; base: TrainingBase; t: TestContext },
): Promise<void> {
  const { model, batch, base, t } = at;
  const isAnswer = config["task_type"] === "SEQ_2_SEQ_LM";
  // Of several tasks each text has its own, and PEFT answers with less of the prompt than it trains with.
  if (config["num_virtual_tokens"] === undefined || config["num_tasks"] !== undefined) return;
  if (model.parts.loss !== "choice" || config["task_type"] === "CAUSAL_LM") return;
  const folder = await temporaryFolder(t);
  const text = savedConfig(model.parts.adapter.config.text, base);
  await writeAdapterFiles(folder, model, { configText: text, base: base.base });
  const task = taskOfType(String(config["task_type"]));
  const loaded = await loadBaseModel(path.join(fixtures, "models", name), task ? { task } : {});
  const adapted = await PeftModel.fromPretrained(loaded, folder);
  const { rows, length, labels, answerLength = 0 } = batch;
  const rowsOf = (values: Int32Array, width: number): number[][] =>
    Array.from({ length: rows }, (_, row) => [...values.subarray(row * width, (row + 1) * width)]);
  const wanted = isAnswer ? rowsOf(labels as Int32Array, answerLength) : [];
  const { data, shape } = await loaded.session.predict(
    {
      kind: "tokens",
      ids: rowsOf(batch.inputIds, length),
      attentionMask: rowsOf(batch.attentionMask, length).map((row) => Uint8Array.from(row)),
      ...(batch.tokenTypes && { tokenTypes: rowsOf(batch.tokenTypes, length) }),
      ...(isAnswer && {
        decoderIds: wanted.map((row) => [0, ...row.slice(0, -1)].map((id) => Math.max(0, id))),
      }),
    },
    adapted.inputsOf(adapted.currentAdapters),
  );
  const width = shape[2] ?? 0;
  const perRow = data.length / rows / width;
  const own = Array.from(labels as Int32Array);
  const each = own.length / rows;
  const terms = own.map((label, i) => {
    if (label === -100) return 0;
    // Rows of an adapter stand in front.
    const row = Math.floor(i / each) * perRow + (perRow - each) + (i % each);
    const scores = data.subarray(row * width, (row + 1) * width);
    const largest = Math.max(...scores);
    const sum = scores.reduce((total, score) => total + Math.exp(score - largest), 0);
    return largest + Math.log(sum) - (scores[label] as number);
  });
  const loss = terms.reduce((sum, term) => sum + term, 0);
  await loaded.session.dispose();
  const evaluated = await model.evaluate(batch);
  assert.ok(Math.abs(loss - evaluated) < 1e-4 * terms.length, `${name}: ${loss} ${evaluated}`);
}

function batchOf({ batch, config }: Case): Batch {
  const { input_ids: ids = [[], []], attention_mask: mask = [], pixels } = batch;
  const [rows, length] = [ids.length, ids[0]?.length ?? 0];
  const { start_positions: starts = [], end_positions: ends = [] } = batch;
  const given = batch.labels ?? starts.map((start, row) => [start, ends[row] as number]);
  const areIds = config["task_type"] !== "SEQ_CLS" || !Array.isArray(given[0]);
  const labels = areIds ? Int32Array.from(given.flat()) : Float32Array.from(given.flat());
  const isAnswer = config["task_type"] === "SEQ_2_SEQ_LM";
  const isNext = config["task_type"] === "CAUSAL_LM";
  return {
    rows,
    length,
    inputIds: Int32Array.from(ids.flat()),
    attentionMask: Int32Array.from(mask.flat()),
    ...(pixels && { pixels: sines(rows * pixels.reduce((all, size) => all * size, 1)) }),
    labels,
    ...(isAnswer && { answerLength: labels.length / rows }),
    ...(batch.token_type_ids && { tokenTypes: Int32Array.from(batch.token_type_ids.flat()) }),
    learnedTokens: areIds ? learnedIn(labels, isNext ? length : 0) : rows,
    tokens: rows * length,
    tasks: Int32Array.of(1, 0),
  };
}

function sines(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(0.37 * i));
}

/** A row's first token is not foretold. */
function learnedIn(labels: ArrayLike<number>, length: number): number {
  return Array.from(labels).filter((label, i) => label !== -100 && (length === 0 || i % length > 0))
    .length;
}

function splitOf(batch: Batch): Split {
  const plan = { batches: 1, batch: () => batch };
  return {
    count: batch.rows,
    lengths: new Uint32Array(batch.rows).fill(batch.length),
    plan: () => plan,
  };
}
