import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { predict } from "../../../../extension/core/predict.ts";
import { TrainingRun } from "../../../../extension/core/trainAdapter.ts";
import type { TrainingEvent } from "../../../../extension/core/train/events.ts";
import { type OpenedRun, openRun } from "../../../../extension/engine/training/openRun.ts";
import type { RunConfig } from "../../../../extension/protocol/trainingContract.ts";
import { temporaryFolder } from "../support.ts";
import { withTokenizer } from "../tinyTokenizer.ts";

const work = { onProgress: () => undefined, signal: new AbortController().signal };

interface Wish {
  model?: string;
  adapter?: RunConfig["adapter"];
  task?: string;
  data?: Partial<RunConfig["data"]>;
}

/** A run's config on a tiny BERT without a head. */
async function configOf(
  t: TestContext,
  records: readonly object[],
  wish: Wish = {},
): Promise<RunConfig> {
  const { model = "headless/bert/base", task = "SEQ_CLS", data = {} } = wish;
  const file = path.join(await temporaryFolder(t), "data.jsonl");
  await writeFile(file, records.map((record) => JSON.stringify(record)).join("\n"));
  const lora = { peft_type: "LORA", task_type: task, r: 4, target_modules: ["query", "value"] };
  return {
    ...{ version: 1, name: "run", base: await withTokenizer(t, model), samplePrompts: [] },
    adapter: wish.adapter ?? { kind: "new", config: lora },
    data: { files: [file], evaluationFiles: [file], ...data },
    settings: {
      ...{ epochs: 1, maxSteps: 80, batchSize: 4, gradientAccumulation: 1, learningRate: 2e-2 },
      ...{ seed: 1, schedule: "constant", warmupSteps: 0, optimizer: "adamw", weightDecay: 0 },
      ...{ maxGradientNorm: 1, groupByLength: false, gradientCheckpointing: false },
      ...{ evaluateEvery: 80, saveEvery: 0, keepCheckpoints: 0, earlyStopping: 0 },
    },
  };
}

interface Trained {
  folder: string;
  events: TrainingEvent[];
  opened: OpenedRun;
}

async function trained(t: TestContext, config: RunConfig): Promise<Trained> {
  const opened = await openRun(config, work);
  t.after(() => opened.dispose());
  const { base, adapter, options, data } = opened;
  const folder = path.join(await temporaryFolder(t), "adapter");
  const events: TrainingEvent[] = [];
  const run = await TrainingRun.open({
    ...{ base, adapter, options, folder, session: { threads: 1 } },
    data: { train: data.training, evaluation: data.evaluation },
    onEvent: (event) => void events.push(event),
  });
  await run.train();
  await run.dispose();
  return { folder, events, opened };
}

function measured({ events }: Trained): {
  loss: number;
  metrics: Readonly<Record<string, number>>;
} {
  const found = events.findLast((event) => event.kind === "evaluation");
  assert.ok(found?.kind === "evaluation" && found.metrics);
  return { loss: found.loss, metrics: found.metrics };
}

async function loaded(t: TestContext, base: string, adapter: string): Promise<PeftModel> {
  const model = new PeftModel(await loadBaseModel(base, { forAdapter: adapter }));
  t.after(() => model.dispose());
  model.setAdapter((await model.loadAdapter(adapter)).name);
  return model;
}

const words = ["good", "bad", "sky", "blue"];
const classes = words.map((word) => ({ text: `film is ${word}`, label: `is-${word}` }));

void test("a new head has the data's labels, learns them, and tells their names when it is loaded", async (t) => {
  const config = await configOf(t, classes);
  const run = await trained(t, config);
  assert.deepEqual(measured(run).metrics, { accuracy: 1, f1: 1 });
  const model = await loaded(t, config.base, run.folder);
  const [first] = await predict(model, ["film is sky"]);
  assert.ok(first?.task === "sequence-classification");
  assert.equal(first.scores.length, 4);
  assert.equal(first.scores[0]?.label, "is-sky");
});

void test("what was trained is trained on with its own labels, others are refused", async (t) => {
  const config = await configOf(t, classes);
  const { folder } = await trained(t, config);
  const adapter = { kind: "continue", path: folder } as const;
  const again = await trained(t, { ...config, adapter });
  const steps = again.events.filter((event) => event.kind === "step");
  assert.ok(steps[0]?.kind === "step" && steps[0].loss < 1, "it begins with what it knows");
  const other = await configOf(t, [{ text: "film is good", label: "is-red" }], { adapter });
  await assert.rejects(openRun({ ...other, base: config.base }, work), /does not know: is-red/);
});

void test("numbers are learned as numbers, and shown as such", async (t) => {
  const records = words.map((word, i) => ({ text: `film is ${word}`, label: i - 1.5 }));
  const config = await configOf(t, records);
  const run = await trained(t, config);
  const { loss, metrics } = measured(run);
  assert.ok(Math.abs(loss - (metrics["mse"] as number)) < 1e-5);
  assert.ok((metrics["pearson"] as number) > 0.9, JSON.stringify(metrics));
  const model = await loaded(t, config.base, run.folder);
  const [first] = await predict(model, ["film is blue"]);
  assert.ok(first?.task === "sequence-classification" && first.of === "values");
  assert.ok(Math.abs((first.scores[0]?.score as number) - 1.5) < 1, String(first.scores[0]?.score));
});

void test("several labels may apply, and words have tags", async (t) => {
  const several = words.map((word, i) => ({
    text: `film is ${word}`,
    label: i < 2 ? ["one", "any"] : ["any"],
  }));
  const many = await trained(t, await configOf(t, several));
  assert.equal(many.opened.data.problem, "multi_label_classification");
  assert.ok((measured(many).metrics["f1"] as number) > 0.8, JSON.stringify(measured(many)));
  const tags = words.map((word, i) => ({
    tokens: ["film", "is", word],
    tags: ["O", "O", `B-${i % 2}`],
  }));
  const run = await trained(t, await configOf(t, tags, { task: "TOKEN_CLS" }));
  assert.equal(measured(run).metrics["accuracy"], 1);
  assert.deepEqual(run.opened.data.labels, ["B-0", "B-1", "O"]);
});

void test("answers in a text are found", async (t) => {
  const records = words.map((word) => ({
    question: "is film",
    context: `sky is ${word} film`,
    answers: { text: [word], answer_start: [7] },
  }));
  const run = await trained(t, await configOf(t, records, { task: "QUESTION_ANS" }));
  assert.deepEqual(measured(run).metrics, { exact_match: 1, f1: 1 });
});

void test("a base's own labels are gone by, unless a new head is asked for", async (t) => {
  const model = "models/bert-seqcls";
  const three = classes.slice(0, 3).map((record, i) => ({ ...record, label: i }));
  const own = await openRun(await configOf(t, three, { model }), work);
  await own.dispose();
  assert.equal(own.base.checkpoint.empty, undefined);
  const four = [...three, { text: "film is blue", label: 3 }];
  await assert.rejects(openRun(await configOf(t, four, { model }), work), /does not know: 3/);
  const anew = await configOf(t, three, { model, data: { head: "new" } });
  const opened = await openRun(anew, work);
  await opened.dispose();
  assert.deepEqual(
    [...(opened.base.checkpoint.empty ?? new Map()).keys()],
    ["classifier.weight", "classifier.bias"],
  );
});

void test("data of another task than the adapter's are refused", async (t) => {
  const config = await configOf(t, classes, { task: "TOKEN_CLS" });
  await assert.rejects(
    openRun(config, work),
    /for sequence classification.*for token classification/,
  );
});
