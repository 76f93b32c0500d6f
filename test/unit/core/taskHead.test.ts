import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { type LoadBaseModelOptions, loadBaseModel } from "../../../extension/core/baseModel.ts";
import { headOf } from "../../../extension/core/models/model.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { allLogits } from "../../golden/models.ts";
import { batchOf } from "../../golden/adapterCase.ts";
import { readTruths } from "../../golden/truth.ts";
import { difference, failure, fixtures, temporaryFolder } from "./support.ts";

const root = path.join(fixtures, "headless");

async function open(
  t: { after(end: () => Promise<void>): void },
  folder: string,
  options: LoadBaseModelOptions = {},
): Promise<PeftModel> {
  const model = new PeftModel(await loadBaseModel(path.join(root, folder), options));
  t.after(() => model.dispose());
  return model;
}

for (const name of ["bert", "roberta", "llama", "llama-tokens"]) {
  void test(`${name}: an adapter brings the head that its base lacks, with PEFT's logits`, async (t) => {
    const model = await open(t, `${name}/adapter`);
    const truths = await readTruths(path.join(root, name, "expected.safetensors"));
    const batch = batchOf(truths);
    const logits = await allLogits(model, model.currentInputs, batch);
    const truth = truths.get("logits");
    assert(truth);
    assert(difference(logits, truth.data as Float32Array) < 1e-4);
    assert.deepEqual(model.base.warnings, []);
    const bare = await allLogits(model, model.inputsOf([]), batch);
    assert(
      bare.every((value) => value === 0),
      "without the adapter the head is empty",
    );
  });
}

void test("a base is opened as the class of a task, and an empty head is told", async (t) => {
  const model = await open(t, "bert/base", { task: "SEQ_CLS" });
  const head = headOf(model.base.session.model);
  assert.deepEqual([head.task, head.width], ["sequence-classification", 2]);
  assert.match(model.base.warnings.join(), /classifier\.weight, classifier\.bias/);
  const named = await open(t, "bert/base", { task: "question-answering" });
  assert.equal(headOf(named.base.session.model).task, "question-answering");
});

void test("a base and the adapter that is loaded later agree on the labels", async (t) => {
  const adapter = path.join(root, "llama/adapter");
  const model = await open(t, "llama/base", { forAdapter: adapter });
  const { name } = await model.loadAdapter(adapter);
  model.setAdapter(name);
  const batch = batchOf(await readTruths(path.join(root, "llama/expected.safetensors")));
  const logits = await allLogits(model, model.currentInputs, batch);
  assert.equal(logits.length, batch.ids.length * 3);
});

void test("without a task a base stays what it is", async (t) => {
  const model = await open(t, "llama/base");
  assert.equal(headOf(model.base.session.model).task, "language-modeling");
  const bert = await open(t, "bert/base");
  assert.equal(headOf(bert.base.session.model).task, "feature-extraction");
});

void test("a task that is none, and one that a family has no class for, are refused by name", async () => {
  const load = (task: string): Promise<unknown> =>
    loadBaseModel(path.join(root, "llama/base"), { task: task as "SEQ_CLS" });
  await assert.rejects(load("POETRY"), failure("bad-request", "POETRY", "SEQ_CLS"));
  await assert.rejects(
    load("image-classification"),
    failure("unsupported", "image-classification", "llama"),
  );
});

void test("a head that the files have no place for is not merged into them", async (t) => {
  const model = await open(t, "bert/adapter");
  const folder = path.join(await temporaryFolder(t), "merged");
  const merged = model.mergeAndUnload({ folder });
  await assert.rejects(merged, failure("unsupported", "classifier", "no place"));
});
