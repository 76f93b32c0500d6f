import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import type { HeadOutput } from "../../../extension/core/session/runningSession.ts";
import { writeSafetensors } from "../../../extension/core/safetensors/write.ts";
import { failure, fixtures, temporaryFolder } from "./support.ts";
import { withTokenizer } from "./tinyTokenizer.ts";

/** A tiny model of a fixture that knows a few words. */
async function open(t: TestContext, name: string): Promise<PeftModel> {
  const folder = await withTokenizer(t, `models/${name}`);
  const model = new PeftModel(await loadBaseModel(folder));
  t.after(() => model.dispose());
  return model;
}

const classifier = (t: TestContext): Promise<PeftModel> => open(t, "bert-seqcls");

/** The head's output for ids as the tokenizer makes them. */
async function logitsOf(model: PeftModel, ids: number[]): Promise<HeadOutput> {
  const batch = { kind: "tokens", ids: [ids], attentionMask: undefined } as const;
  return model.base.session.predict(batch, model.currentInputs);
}

void test("a classifier names its labels with probabilities, an adapter's head others", async (t) => {
  const model = await classifier(t);
  const [bare, pair] = await model.predict(["good film", { text: "good", pair: "film" }]);
  assert(bare?.task === "sequence-classification" && pair?.task === "sequence-classification");
  const sum = bare.scores.reduce((total, { score }) => total + score, 0);
  assert(Math.abs(sum - 1) < 1e-6);
  assert.deepEqual(bare.scores.map(({ label }) => label).sort(), ["LABEL_0", "LABEL_1", "LABEL_2"]);
  assert.notDeepEqual(pair.scores, bare.scores, "the second text has a segment of its own");
  const folder = path.join(fixtures, "adapters/bert-seqcls/lora_seqcls_all_linear");
  const { name } = await model.loadAdapter(folder);
  model.setAdapter(name);
  const [adapted] = await model.predict(["good film"]);
  assert.notDeepEqual(adapted, bare);
  assert.deepEqual((await model.predict(["good film"], { adapters: [] }))[0], bare);
});

void test("a classifier does not write text, and says so", async (t) => {
  const model = await classifier(t);
  const answered = model.answer({ kind: "text", text: "good film" });
  await assert.rejects(answered, failure("unsupported", "sequence classification", "text"));
});

void test("every token of a text has its likeliest label, special tokens have none", async (t) => {
  const model = await open(t, "roberta-tokencls");
  const [found] = await model.predict(["good film is bad"]);
  assert(found?.task === "token-classification");
  assert.deepEqual(
    found.tokens.map(({ token }) => token),
    ["good", "film", "is", "bad"],
  );
  const { data, shape } = await logitsOf(model, [1, 4, 6, 9, 5, 2]);
  const [, , width] = shape;
  for (const [i, { label, score }] of found.tokens.entries()) {
    const row = [...data.subarray((i + 1) * width, (i + 2) * width)];
    assert.equal(label, `LABEL_${row.indexOf(Math.max(...row))}`);
    assert(score > 1 / width && score < 1);
  }
});

void test("an answer is the likeliest span of the second text", async (t) => {
  const model = await open(t, "llama-qa");
  const [found] = await model.predict([{ text: "sky is", pair: "blue film good bad" }]);
  assert(found?.task === "question-answering");
  const { data } = await logitsOf(model, [1, 7, 9, 2, 8, 6, 4, 5, 2]);
  const context = [4, 5, 6, 7];
  const sum = (end: number): number =>
    context.reduce((all, place) => all + Math.exp(data[place * 2 + end] as number), 0);
  let best = { score: 0, text: "" };
  for (const start of context) {
    for (const last of context.filter((place) => place >= start)) {
      const exponent = (data[start * 2] as number) + (data[last * 2 + 1] as number);
      const score = Math.exp(exponent) / (sum(0) * sum(1));
      const words = ["blue", "film", "good", "bad"].slice(start - 4, last - 3);
      if (score > best.score) best = { score, text: words.join(" ") };
    }
  }
  assert.equal(found.answer, best.text);
  assert(Math.abs(found.score - best.score) < 1e-6);
});

void test("features are the last stream's mean and its first row", async (t) => {
  const model = await open(t, "mistral-feat");
  const [found] = await model.predict(["good film"]);
  assert(found?.task === "feature-extraction");
  const { data, shape } = await logitsOf(model, [1, 4, 6, 2]);
  const [, rows, width] = shape;
  assert.equal(rows, 4);
  assert.deepEqual([...found.first], [...data.subarray(0, width)]);
  const column = Array.from({ length: rows }, (_, row) => data[row * width + 1] as number);
  const mean = column.reduce((sum, value) => sum + value, 0) / rows;
  assert(Math.abs((found.mean[1] as number) - mean) < 1e-6);
});

void test("a family that runs without a cache refuses prefix tuning as it is loaded", async (t) => {
  const model = new PeftModel(await loadBaseModel(path.join(fixtures, "models/distilbert-seqcls")));
  t.after(() => model.dispose());
  const { layers, heads, headDim } = model.base.adaptable.attention;
  const folder = await temporaryFolder(t);
  const config = { peft_type: "PREFIX_TUNING", task_type: "SEQ_CLS", num_virtual_tokens: 2 };
  await writeFile(path.join(folder, "adapter_config.json"), JSON.stringify(config));
  const shape = [2, layers * 2 * heads * headDim];
  const bytes = new Uint8Array(4 * 2 * (shape[1] as number));
  await writeSafetensors(path.join(folder, "adapter_model.safetensors"), [
    { name: "prompt_embeddings", dtype: "F32", shape, bytes: () => Promise.resolve(bytes) },
  ]);
  await assert.rejects(model.loadAdapter(folder), failure("unsupported", "Prefix tuning"));
});
