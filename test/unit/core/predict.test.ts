import assert from "node:assert/strict";
import { cp, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { failure, fixtures, temporaryFolder } from "./support.ts";

const words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "good", "bad", "film"];

/** The tiny BERT classifier with a tokenizer of a few words. */
async function classifier(t: TestContext): Promise<PeftModel> {
  const folder = path.join(await temporaryFolder(t), "bert");
  await cp(path.join(fixtures, "models/bert-seqcls"), folder, { recursive: true });
  const special = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = (id: string, type_id: number): object => ({ Sequence: { id, type_id } });
  const single = [special("[CLS]"), sequence("A", 0), special("[SEP]")];
  const tokenizer = {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "Whitespace" },
    post_processor: {
      type: "TemplateProcessing",
      single,
      pair: [...single, sequence("B", 1), { SpecialToken: { id: "[SEP]", type_id: 1 } }],
      special_tokens: Object.fromEntries(
        ["[CLS]", "[SEP]"].map((id) => [id, { id, ids: [words.indexOf(id)], tokens: [id] }]),
      ),
    },
    decoder: null,
    model: {
      type: "WordLevel",
      unk_token: "[UNK]",
      vocab: Object.fromEntries(words.map((word, id) => [word, id])),
    },
  };
  await writeFile(path.join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  const model = new PeftModel(await loadBaseModel(folder));
  t.after(() => model.dispose());
  return model;
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
